#pragma once

#include <sys/stat.h>

#include <string>
#include <vector>

#include "system_error.h"
#include "unique_fd.h"

namespace a3s {

/** What a walk does at each place. `directory` is open on the directory that holds `name`. */
class TreeVisitor {
 public:
  enum class After { kDone, kReadAgain };

  virtual ~TreeVisitor() = default;
  /** A directory was opened. */
  virtual void OnDirectory(const struct stat& info) = 0;
  /** Anything that is no directory. 0 or an errno. */
  virtual int OnFile(int directory, const char* name) = 0;
  /** A directory on another mount. 0 to pass it by, or an errno. */
  virtual int OnOtherMount(int directory, const char* name) = 0;
  /** Everything in the directory `name` was visited. 0 or an errno. */
  virtual int AfterDirectory(int directory, const char* name, After& after) = 0;
};

/**
 * Visits a tree without following links and without leaving the mount of its top (bind mounts of the same file system
 * included), iteratively, with a bounded number of descriptors however deep the tree is. Entries that vanish meanwhile
 * are passed by.
 */
class TreeWalk {
 public:
  explicit TreeWalk(TreeVisitor& visitor) : visitor_(visitor) {}

  /** The directory or file `name` in `parent`. `top_path` is for messages. ENOENT when there is nothing of that name.
   */
  Failure Run(int parent, const std::string& name, const std::string& top_path);

 private:
  struct Frame {
    UniqueFd fd;
    dev_t device = 0;
    ino_t inode = 0;
    std::string name;
    /** Directories found and not yet entered. */
    std::vector<std::string> directories;
    off_t offset = 0;
    bool at_end = false;
  };

  int Enter(int parent, const std::string& name);
  Failure Step();
  int ReadSome(Frame& frame);
  int Leave();
  int ParentFd();
  SystemError Error(int number, const std::string& name) const;

  TreeVisitor& visitor_;
  std::vector<Frame> stack_;
  int parent_ = -1;
  std::string top_path_;
  std::vector<char> buffer_ = std::vector<char>(32 * 1024);
  /** Entry at which `ReadSome` stopped, for the message. */
  std::string at_;
};

}  // namespace a3s
