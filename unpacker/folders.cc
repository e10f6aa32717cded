#include "folders.h"

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

Folders::Folders(int root) : all_(1) {
  all_[0].fd = root;
  all_[0].implied = true;
}

std::optional<FolderId> Folders::Find(FolderId parent, std::string_view name) const {
  const auto found = by_name_.find(std::pair<FolderId, std::string_view>(parent, name));
  if (found == by_name_.end()) return std::nullopt;
  return found->second;
}

void Folders::CheckRoom(FolderId parent, std::string_view name) const {
  const Folder& above = all_[parent];
  if (above.depth >= Limits::kDepth) {
    Fail(ErrorCode::kInternal, "it is deeper than " + std::to_string(Limits::kDepth) + " folders");
  }
  if (above.path_bytes + 1 + name.size() > Limits::kPathBytes) {
    Fail(ErrorCode::kInternal, "its name is longer than a path may be");
  }
}

FolderId Folders::Add(FolderId parent, std::string_view name) {
  const FolderId id = Count();
  Folder folder;
  folder.parent = parent;
  folder.next_sibling = all_[parent].first_child;
  folder.name = name;
  folder.depth = all_[parent].depth + 1;
  folder.path_bytes = all_[parent].path_bytes + 1 + static_cast<uint32_t>(name.size());
  all_.push_back(std::move(folder));
  all_[parent].first_child = id;
  by_name_.emplace(Key(parent, name), id);
  return id;
}

int Folders::Fd(FolderId id) {
  Folder& folder = all_[id];
  folder.used = ++uses_;
  if (folder.fd >= 0) return folder.fd;
  // Below the nearest folder that is open.
  std::string path = folder.name;
  FolderId above = folder.parent;
  for (; all_[above].fd < 0; above = all_[above].parent) path = all_[above].name + "/" + path;
  all_[above].used = uses_;
  folder.fd = OpenBeneath(all_[above].fd, path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
  if (folder.fd < 0) FailOfErrno("open", path, errno);
  open_.push_back(id);
  if (open_.size() > kMaxOpen) CloseOldest();
  return folder.fd;
}

void Folders::CloseOldest() {
  // The older half at once, so that the cost of choosing is spread.
  std::sort(open_.begin(), open_.end(), [this](FolderId a, FolderId b) { return all_[a].used > all_[b].used; });
  for (size_t i = kMaxOpen / 2; i < open_.size(); i++) {
    Folder& folder = all_[open_[i]];
    ::close(folder.fd);
    folder.fd = -1;
  }
  open_.resize(kMaxOpen / 2);
}

std::string Folders::PathOf(FolderId id) const {
  std::vector<const std::string*> names;
  for (; id != 0; id = all_[id].parent) names.push_back(&all_[id].name);
  std::string path;
  for (auto name = names.rbegin(); name != names.rend(); ++name) {
    if (!path.empty()) path += '/';
    path += **name;
  }
  return path;
}

bool Folders::IsWithin(FolderId id, FolderId top) const {
  while (id > top) id = all_[id].parent;
  return id == top;
}

std::vector<FolderId> Folders::TreeOf(FolderId top) const {
  std::vector<FolderId> tree = {top};
  for (size_t i = 0; i < tree.size(); i++) {
    for (FolderId child = all_[tree[i]].first_child; child != 0; child = all_[child].next_sibling) {
      if (!all_[child].removed) tree.push_back(child);
    }
  }
  return tree;
}

void Folders::Forget(const std::vector<FolderId>& tree) {
  for (const FolderId id : tree) {
    Folder& folder = all_[id];
    folder.removed = true;
    const auto found = by_name_.find(std::pair<FolderId, std::string_view>(folder.parent, folder.name));
    if (found != by_name_.end()) by_name_.erase(found);
    if (folder.fd < 0) continue;
    ::close(folder.fd);
    folder.fd = -1;
    open_.erase(std::remove(open_.begin(), open_.end(), id), open_.end());
  }
  // The parent's list loses its first: a folder made and removed again and again would else make it long.
  Folder& parent = all_[all_[tree.front()].parent];
  while (parent.first_child != 0 && all_[parent.first_child].removed) {
    parent.first_child = all_[parent.first_child].next_sibling;
  }
}

}  // namespace a3s
