#pragma once

#include <set>
#include <string>
#include <utility>

#include "directories.h"
#include "disk_budget.h"
#include "entry_path.h"
#include "tar_reader.h"

namespace a3s {

/**
 * Writes a layer's entries into a directory of its own, for overlayfs. Links on the way to an entry are resolved here,
 * in the layer's own root as a chroot would, and each step goes through a descriptor of the parent directory that was
 * opened without following one: no order of entries leaves the root. What fails ends the process.
 */
class LayerTree {
 public:
  /**
   * Makes `fs` in the directory, which must be there and empty. Takes its descriptor over. `owners`: users and groups
   * that files can belong to, from 0 on.
   */
  LayerTree(int around, uint64_t packed_bytes, uint32_t owners);

  /** Makes the entry, and reads its content. */
  void Write(const TarEntry& entry, TarReader& reader);

  /** Sets the times of directories, which their content has changed. */
  void Finish();
  /** Paths of directories that the layer has without an entry of their own, each ended by a NUL; "" is the root. */
  std::string ImpliedDirectories();
  /** Paths of directories that hide what lower layers have in them, each ended by a NUL; those that are UTF-8. */
  std::string OpaqueDirectories();

 private:
  /** Where an entry is: a name in a directory. */
  struct Slot {
    DirectoryId parent;
    const std::string& name;
  };
  enum class Kind { kNothing, kDirectory, kLink, kOther };

  void Make(const Slot& slot, const TarEntry& entry, TarReader& reader);
  void CheckOwners(const TarEntry& entry);
  void MakeRoot(const TarEntry& entry);
  void MakeDirectory(const Slot& slot, const TarEntry& entry);
  void MakeFile(const Slot& slot, const TarEntry& entry, TarReader& reader);
  void WriteContent(int fd, TarReader& reader, const std::string& name);
  void MakeHardLink(const Slot& slot, const TarEntry& entry);
  void MakeSymlink(const Slot& slot, const TarEntry& entry);
  void MakeNode(const Slot& slot, const TarEntry& entry);
  void MakeOpaque(DirectoryId id);
  void Hide(const Slot& slot, const Time& mtime);

  /** A later entry of the same name takes the place of the earlier one. */
  void Clear(const Slot& slot);
  void RemoveDirectory(DirectoryId id);

  /** Owner, mode and attributes of what is no file. */
  void Dress(int dirfd, const char* name, const TarEntry& entry, bool special, bool fresh);
  void SetAttributes(int dirfd, const char* name, int fd, const TarEntry& entry);
  void SetTime(int dirfd, const char* name, const Time& mtime);
  bool NeedsOwner(const Slot& slot, const TarEntry& entry);

  /** The directory that a name's parts lead to; made with all above it where the layer has no entry for it. */
  DirectoryId ParentOf(const Parts& parts);
  std::optional<DirectoryId> Resolve(const Parts& parts, bool make);
  Kind Look(DirectoryId parent, const std::string& name);
  DirectoryId MakeImplied(DirectoryId parent, const std::string& name);

  const int around_;
  const uint32_t owners_;
  DiskBudget budget_;
  Directories directories_;
  std::set<std::pair<DirectoryId, std::string>> whiteouts_;
  /** Of the last entry: most have the directory of the one before. */
  std::string last_parent_;
  DirectoryId last_parent_id_ = 0;
};

}  // namespace a3s
