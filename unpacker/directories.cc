#include "directories.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "failure.h"
#include "limits.h"
#include "open_beneath.h"

namespace a3s {

namespace {

constexpr size_t kMaxOpen = 200;

}  // namespace

Directories::Directories(int root) : all_(1) {
  all_[0].fd = root;
  all_[0].implied = true;
}

std::optional<DirectoryId> Directories::Find(DirectoryId parent, std::string_view name) const {
  const auto found = by_name_.find(std::pair<DirectoryId, std::string_view>(parent, name));
  if (found == by_name_.end()) return std::nullopt;
  return found->second;
}

void Directories::CheckRoom(DirectoryId parent, std::string_view name) const {
  const Directory& above = all_[parent];
  if (above.depth >= Limits::kDepth) {
    Fail(ErrorCode::kInternal, "it is deeper than " + std::to_string(Limits::kDepth) + " directories");
  }
  if (above.path_bytes + 1 + name.size() > Limits::kPathBytes) {
    Fail(ErrorCode::kInternal, "its name is longer than a path may be");
  }
}

DirectoryId Directories::Add(DirectoryId parent, std::string_view name) {
  const DirectoryId id = Count();
  Directory directory;
  directory.parent = parent;
  directory.next_sibling = all_[parent].first_child;
  directory.name = name;
  directory.depth = all_[parent].depth + 1;
  directory.path_bytes = all_[parent].path_bytes + 1 + static_cast<uint32_t>(name.size());
  all_.push_back(std::move(directory));
  all_[parent].first_child = id;
  by_name_.emplace(Key(parent, name), id);
  return id;
}

int Directories::Fd(DirectoryId id) {
  Directory& directory = all_[id];
  directory.used = ++uses_;
  if (directory.fd >= 0) return directory.fd;
  // Below the nearest directory that is open.
  std::string path = directory.name;
  DirectoryId above = directory.parent;
  for (; all_[above].fd < 0; above = all_[above].parent) path = all_[above].name + "/" + path;
  all_[above].used = uses_;
  directory.fd = OpenBeneath(all_[above].fd, path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
  if (directory.fd < 0) FailOfErrno("open", path, errno);
  open_.push_back(id);
  if (open_.size() > kMaxOpen) CloseOldest();
  return directory.fd;
}

void Directories::CloseOldest() {
  // The older half at once, so that the cost of choosing is spread.
  std::sort(open_.begin(), open_.end(), [this](DirectoryId a, DirectoryId b) { return all_[a].used > all_[b].used; });
  for (size_t i = kMaxOpen / 2; i < open_.size(); i++) {
    Directory& directory = all_[open_[i]];
    ::close(directory.fd);
    directory.fd = -1;
  }
  open_.resize(kMaxOpen / 2);
}

std::string Directories::PathOf(DirectoryId id) const {
  std::vector<const std::string*> names;
  for (; id != 0; id = all_[id].parent) names.push_back(&all_[id].name);
  std::string path;
  for (auto name = names.rbegin(); name != names.rend(); ++name) {
    if (!path.empty()) path += '/';
    path += **name;
  }
  return path;
}

bool Directories::IsWithin(DirectoryId id, DirectoryId top) const {
  while (id > top) id = all_[id].parent;
  return id == top;
}

std::vector<DirectoryId> Directories::TreeOf(DirectoryId top) const {
  std::vector<DirectoryId> tree = {top};
  for (size_t i = 0; i < tree.size(); i++) {
    for (DirectoryId child = all_[tree[i]].first_child; child != 0; child = all_[child].next_sibling) {
      if (!all_[child].removed) tree.push_back(child);
    }
  }
  return tree;
}

void Directories::Forget(const std::vector<DirectoryId>& tree) {
  for (const DirectoryId id : tree) {
    Directory& directory = all_[id];
    directory.removed = true;
    const auto found = by_name_.find(std::pair<DirectoryId, std::string_view>(directory.parent, directory.name));
    if (found != by_name_.end()) by_name_.erase(found);
    if (directory.fd < 0) continue;
    ::close(directory.fd);
    directory.fd = -1;
    open_.erase(std::remove(open_.begin(), open_.end(), id), open_.end());
  }
  // The parent's list loses its first: a directory made and removed again and again would else make it long.
  Directory& parent = all_[all_[tree.front()].parent];
  while (parent.first_child != 0 && all_[parent.first_child].removed) {
    parent.first_child = all_[parent.first_child].next_sibling;
  }
}

}  // namespace a3s
