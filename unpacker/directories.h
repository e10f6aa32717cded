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

using DirectoryId = uint32_t;

struct Directory {
  DirectoryId parent = 0;
  DirectoryId first_child = 0;
  DirectoryId next_sibling = 0;
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
 * Every directory of the tree, which is nobody's but ours: what is not in here is no directory. Number 0 is the root; a
 * directory's number is above its parent's. Descriptors are opened one component at a time below an open parent, links
 * not followed, and a bounded number of them stays open.
 */
class Directories {
 public:
  /** Takes the root's descriptor over. */
  explicit Directories(int root);

  Directory& At(DirectoryId id) { return all_[id]; }
  DirectoryId Count() const { return static_cast<DirectoryId>(all_.size()); }

  std::optional<DirectoryId> Find(DirectoryId parent, std::string_view name) const;
  /** Notes a directory that has been made. */
  DirectoryId Add(DirectoryId parent, std::string_view name);
  /** Refuses what is too deep, or has too long a path, to be opened again. */
  void CheckRoom(DirectoryId parent, std::string_view name) const;

  /** Open at least until the next call. */
  int Fd(DirectoryId id);
  /** From the root, "" for the root itself. */
  std::string PathOf(DirectoryId id) const;
  /** True also for the directory itself. */
  bool IsWithin(DirectoryId id, DirectoryId top) const;

  /** The directory and all directories in it, parents first. */
  std::vector<DirectoryId> TreeOf(DirectoryId top) const;
  /** The directory and all in it are gone from the disk. */
  void Forget(const std::vector<DirectoryId>& tree);

 private:
  using Key = std::pair<DirectoryId, std::string>;
  struct Less {
    using is_transparent = void;
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const {
      return a.first != b.first ? a.first < b.first : std::string_view(a.second) < std::string_view(b.second);
    }
  };

  void CloseOldest();

  std::vector<Directory> all_;
  std::map<Key, DirectoryId, Less> by_name_;
  std::vector<DirectoryId> open_;
  uint64_t uses_ = 0;
};

}  // namespace a3s
