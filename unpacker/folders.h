#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pax.h"

namespace a3s {

using FolderId = uint32_t;

struct Folder {
  FolderId parent = 0;
  FolderId first_child = 0;
  FolderId next_sibling = 0;
  std::string name;
  uint32_t depth = 0;
  /** Length of its path from the root. */
  uint32_t path_bytes = 0;
  int fd = -1;
  /** Number of the last use of `fd`. */
  uint64_t used = 0;
  bool removed = false;
  /** The layer has no entry for it: its attributes are those of the layers below. */
  bool implied = false;
  /** It hides what lower layers have in it. */
  bool opaque = false;
  /** What is made in it gets a group or a mode of its own: set-gid, or a default ACL. */
  bool special = false;
  std::optional<Time> mtime;
};

/**
 * Every folder of the tree, which is nobody's but ours: what is not in here is no folder. Number 0 is the root; a
 * folder's number is above its parent's. Descriptors are opened one component at a time below an open parent, links
 * not followed, and a bounded number of them stays open.
 */
class Folders {
 public:
  /** Takes the root's descriptor over. */
  explicit Folders(int root);

  Folder& At(FolderId id) { return all_[id]; }
  FolderId Count() const { return static_cast<FolderId>(all_.size()); }

  std::optional<FolderId> Find(FolderId parent, std::string_view name) const;
  /** Notes a folder that has been made. */
  FolderId Add(FolderId parent, std::string_view name);
  /** Refuses what is too deep, or has too long a path, to be opened again. */
  void CheckRoom(FolderId parent, std::string_view name) const;

  /** Open at least until the next call. */
  int Fd(FolderId id);
  /** From the root, "" for the root itself. */
  std::string PathOf(FolderId id) const;
  /** True also for the folder itself. */
  bool IsWithin(FolderId id, FolderId top) const;

  /** The folder and all folders in it, parents first. */
  std::vector<FolderId> TreeOf(FolderId top) const;
  /** The folder and all in it are gone from the disk. */
  void Forget(const std::vector<FolderId>& tree);

 private:
  using Key = std::pair<FolderId, std::string>;
  struct Less {
    using is_transparent = void;
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const {
      return a.first != b.first ? a.first < b.first : std::string_view(a.second) < std::string_view(b.second);
    }
  };

  void CloseOldest();

  std::vector<Folder> all_;
  std::map<Key, FolderId, Less> by_name_;
  std::vector<FolderId> open_;
  uint64_t uses_ = 0;
};

}  // namespace a3s
