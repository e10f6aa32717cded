#pragma once

#include <cstddef>
#include <cstdint>

namespace a3s::erofs {

/**
 * EROFS on the disk, as far as it is written here: little-endian, blocks of 4096 bytes, nothing compressed. Source: the
 * kernel's Documentation/filesystems/erofs.rst and fs/erofs/erofs_fs.h, whose names are in brackets.
 */

constexpr uint32_t kBlockBits = 12;
constexpr uint64_t kBlock = uint64_t{1} << kBlockBits;
/** Of inodes: a number of one counts them from the first inode's block on. */
constexpr uint64_t kSlot = 32;

constexpr uint64_t RoundUp(uint64_t bytes, uint64_t unit) { return (bytes + unit - 1) / unit * unit; }

constexpr uint64_t kSuperblockAt = 1024;
constexpr uint32_t kMagic = 0xe0f5e1e2;
/** An inode's time is when its content changed [EROFS_FEATURE_COMPAT_MTIME]. */
constexpr uint32_t kHasMtime = 0x2;
/** Files of chunks, which can have holes [EROFS_FEATURE_INCOMPAT_CHUNKED_FILE]. */
constexpr uint32_t kHasChunks = 0x4;

/** [erofs_super_block] */
struct Superblock {
  uint32_t magic;
  uint32_t checksum;
  uint32_t compatible;
  uint8_t block_bits;
  uint8_t extension_slots;
  uint16_t root;
  uint64_t inodes;
  uint64_t built_s;
  uint32_t built_ns;
  uint32_t blocks;
  /** First block of inodes. */
  uint32_t inodes_at;
  uint32_t shared_attributes_at;
  uint8_t uuid[16];
  uint8_t name[16];
  uint32_t incompatible;
  uint16_t compression;
  uint16_t devices;
  uint16_t devices_at;
  uint8_t directory_bits;
  uint8_t prefixes;
  uint32_t prefixes_at;
  uint64_t packed;
  uint8_t reserved[24];
};
static_assert(sizeof(Superblock) == 128);

/** Where a file's content is [EROFS_INODE_*]. */
enum class Layout : uint16_t {
  /** In blocks, one after the other. */
  kPlain = 0,
  /** The same, but for the rest of the last block, which comes behind the inode and its attributes, in one block with
     it. */
  kInline = 2,
  /** In chunks: behind the inode is the first block of each. */
  kChunks = 4,
};

/** [erofs_inode_extended] */
struct Inode {
  /** Bit 0: it is one of these; from bit 1 on: `Layout`. */
  uint16_t format;
  uint16_t attributes;
  uint16_t mode;
  uint16_t reserved;
  uint64_t size;
  /** First block, device or format of the chunks. */
  uint32_t where;
  uint32_t number;
  uint32_t uid;
  uint32_t gid;
  uint64_t mtime_s;
  uint32_t mtime_ns;
  uint32_t links;
  uint8_t reserved_too[16];
};
static_assert(sizeof(Inode) == 64);

constexpr uint16_t FormatOf(Layout layout) { return static_cast<uint16_t>(static_cast<uint16_t>(layout) << 1 | 1); }

/** In place of a chunk's first block: it is a hole. */
constexpr uint32_t kHole = UINT32_MAX;
/** The widest chunk: 2^31 blocks. */
constexpr uint32_t kMaxChunkBits = 31;

/** Before an inode's attributes, none of which is shared [erofs_xattr_ibody_header]. */
struct AttributesHeader {
  uint32_t filter;
  uint8_t shared;
  uint8_t reserved[7];
};
static_assert(sizeof(AttributesHeader) == 12);

/** Before an attribute's name without its prefix, and its value; the next one begins at a multiple of four. */
struct AttributeHeader {
  uint8_t name_bytes;
  uint8_t prefix;
  uint16_t value_bytes;
};
static_assert(sizeof(AttributeHeader) == 4);
constexpr size_t kAttributeUnit = 4;

/** In a block of a directory, all of them before the names, by the names' bytes [erofs_dirent]. */
struct __attribute__((packed)) DirectoryEntry {
  uint64_t inode;
  uint16_t name_at;
  uint8_t type;
  uint8_t reserved;
};
static_assert(sizeof(DirectoryEntry) == 12);

}  // namespace a3s::erofs
