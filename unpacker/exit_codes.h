#pragma once

namespace a3s {

/** What the unpacker's exit status means; `src/image/unpack/unpacker.ts` reads the same table. */
enum class ExitCode : int {
  /** Done; `result` lists the opaque directories. */
  kDone = 0,
  /** It failed; `result` has the code and the message. */
  kFailed = 1,
  /** No space is left on the disk, not even for a result. */
  kNoSpace = 2,
  /** The layer wants more memory than it may have: too many directories, or too wide a window. */
  kNoMemory = 3,
  /** The directory's file system can't show owners as the user namespace has them, or the namespace can't be entered.
   */
  kUnmapped = 4,
  /** Wrong arguments. */
  kUsage = 100,
  /** A step of building the jail failed; standard error says which. */
  kJail = 101,
};

}  // namespace a3s
