#pragma once

#include <cstdint>

namespace a3s {

/**
 * What a layer may ask for, ADR 0019. Honest layers stay far below: text packs to a fifth, files of zeros, which pack
 * to a thousandth, come in small amounts or as sparse files.
 */
struct Limits {
  /** Of the uncompressed layer, whatever it was packed from. */
  static constexpr uint64_t kFreeBytes = uint64_t{256} << 20;
  /** Above that, so many times the blob. */
  static constexpr uint64_t kRatio = 200;
  /** Above that nothing. */
  static constexpr uint64_t kAbsoluteBytes = uint64_t{64} << 30;
  /** On the disk (DiskBudget): blocks as ext4 and xfs have them by default, */
  static constexpr uint64_t kDiskBlock = 4096;
  /** an inode with its share of the few that a file system has, */
  static constexpr uint64_t kInodeBytes = 4096;
  /** an entry of a directory beside its name, */
  static constexpr uint64_t kNameBytes = 12;
  /** and what lies in an inode itself: a short link's target, a few attributes. */
  static constexpr uint64_t kInlineBytes = 60;
  static constexpr uint64_t kEntries = 4'000'000;
  static constexpr uint32_t kDepth = 1024;
  /** The longest path that the kernel takes, without the NUL. */
  static constexpr uint32_t kPathBytes = 4095;
  /** Of a long name, or of one entry's PAX records. */
  static constexpr uint64_t kRecordBytes = 1 << 20;
  /** Users and groups, from 0 on, that the user namespace has in which a layer is unpacked. */
  static constexpr uint32_t kOwners = 2'147'483'647;
  /** Stretches of data in a sparse file. */
  static constexpr uint64_t kSparseParts = 1 << 20;
  /** Of the names of directories that hide lower ones, which the daemon keeps. */
  static constexpr uint64_t kOpaqueBytes = 8 << 20;

  static constexpr uint64_t BytesFor(uint64_t packed_bytes) {
    if (packed_bytes > kAbsoluteBytes / kRatio) return kAbsoluteBytes;
    const uint64_t wanted = packed_bytes * kRatio;
    return wanted > kFreeBytes ? wanted : kFreeBytes;
  }
};

}  // namespace a3s
