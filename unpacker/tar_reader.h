#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "content_stream.h"
#include "pax.h"
#include "tar_header.h"

namespace a3s {

enum class EntryType { kFile, kDirectory, kSymlink, kHardLink, kCharacter, kBlock, kFifo };

struct TarEntry {
  /** As written: may be absolute, may have "..". */
  std::string name;
  EntryType type = EntryType::kFile;
  std::string link;
  /** Permission bits, set-uid, set-gid, sticky. */
  uint32_t mode = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  Time mtime;
  uint32_t major = 0;
  uint32_t minor = 0;
  std::map<std::string, std::string> xattrs;
  /** Bytes of content in the archive; 0 for all but files. */
  uint64_t size = 0;
  /** Length of a sparse file, and where its content belongs in it. */
  std::optional<uint64_t> sparse_length;
  SparseMap sparse;
};

/**
 * Reads a tar as it streams by: ustar, GNU long names, numbers and sparse files, PAX records. Of an archive only
 * headers and records are ever held, never content. What is malformed ends the process.
 */
class TarReader {
 public:
  explicit TarReader(ContentStream& stream) : stream_(stream) {}

  /** The next entry; what was not read of the last one's content is passed over. False at the end of the archive. */
  bool Next(TarEntry& entry);

  /** A piece of the entry's content; empty when there is no more. */
  Piece Content();

 private:
  bool ReadHeader(RawHeader& header);
  const uint8_t* NextBlock();
  void SkipContent();
  /** A record's whole content. */
  std::string ReadRecord(const RawHeader& header);
  /** True for a header that describes the next one. */
  bool TakeDescription(const RawHeader& header);
  void Describe(const RawHeader& header, TarEntry& entry);
  void ReadSparse(const RawHeader& header, TarEntry& entry);
  void ReadGnuSparse(TarEntry& entry);
  void ReadSparseFromContent(TarEntry& entry);
  void BeginContent(const std::string& name, uint64_t size);

  ContentStream& stream_;
  PaxRecords globals_;
  PaxRecords records_;
  std::string long_name_;
  std::string long_link_;
  std::string content_name_;
  uint64_t remaining_ = 0;
  uint64_t padding_ = 0;
  uint64_t entries_ = 0;
  /** The header block under way, for the map of a GNU sparse file. */
  uint8_t block_[kBlockBytes] = {};
};

/** Whether the parts lie in order inside of the file, and take all of its content. */
bool IsSparseMap(const SparseMap& map, uint64_t content_bytes, uint64_t length);

}  // namespace a3s
