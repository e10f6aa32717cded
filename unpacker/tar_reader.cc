#include "tar_reader.h"

#include <cstring>
#include <string_view>

#include "failure.h"
#include "limits.h"

namespace a3s {

namespace {

constexpr std::string_view kXattrPrefix = "SCHILY.xattr.";

std::optional<EntryType> TypeOf(char flag) {
  switch (flag) {
    case '0':
    case '\0':
    case '7':
    case 'S':
      return EntryType::kFile;
    case '1':
      return EntryType::kHardLink;
    case '2':
      return EntryType::kSymlink;
    case '3':
      return EntryType::kCharacter;
    case '4':
      return EntryType::kBlock;
    case '5':
      return EntryType::kDirectory;
    case '6':
      return EntryType::kFifo;
    default:
      return std::nullopt;
  }
}

/** Owners and device numbers: the kernel's are 32 bits wide, and (uid_t)-1 means "leave it". */
uint32_t Narrow(uint64_t value, const char* what) {
  if (value >= UINT32_MAX) MalformedTar(std::string("a header's ") + what + " is out of range");
  return static_cast<uint32_t>(value);
}

void AddXattrs(const PaxRecords& records, TarEntry& entry) {
  for (auto record = records.values.lower_bound(kXattrPrefix); record != records.values.end(); ++record) {
    const std::string_view key = record->first;
    if (key.substr(0, kXattrPrefix.size()) != kXattrPrefix) break;
    entry.xattrs.insert_or_assign(std::string(key.substr(kXattrPrefix.size())), record->second);
  }
}

}  // namespace

bool TarReader::Next(TarEntry& entry) {
  SkipContent();
  RawHeader header;
  do {
    if (!ReadHeader(header)) return false;
  } while (TakeDescription(header));
  if (++entries_ > Limits::kEntries) {
    Fail(ErrorCode::kInternal, "the layer has more than " + std::to_string(Limits::kEntries) + " entries");
  }
  entry = TarEntry();
  Describe(header, entry);
  records_ = PaxRecords();
  long_name_.clear();
  long_link_.clear();
  return true;
}

Piece TarReader::Content() {
  if (remaining_ == 0) return {};
  const Piece piece = stream_.TakeSome(remaining_);
  if (piece.size == 0) {
    MalformedTar("it ends inside of \"" + Shown(content_name_) + "\", " + std::to_string(remaining_) + " bytes early");
  }
  remaining_ -= piece.size;
  return piece;
}

const uint8_t* TarReader::NextBlock() {
  const Piece piece = stream_.Take(kBlockBytes);
  if (piece.size == 0) return nullptr;
  if (piece.size < kBlockBytes) MalformedTar("it ends inside of a header");
  return piece.data;
}

bool TarReader::ReadHeader(RawHeader& header) {
  const uint8_t* block = NextBlock();
  if (block == nullptr || !ParseHeader(block, header)) return false;
  if (header.flag == 'S') memcpy(block_, block, kBlockBytes);
  return true;
}

void TarReader::BeginContent(const std::string& name, uint64_t size) {
  content_name_ = name;
  remaining_ = size;
  padding_ = (kBlockBytes - size % kBlockBytes) % kBlockBytes;
}

void TarReader::SkipContent() {
  while (Content().size > 0) {
  }
  while (padding_ > 0) {
    const Piece piece = stream_.TakeSome(padding_);
    if (piece.size == 0) break;  // some writers leave the last padding out
    padding_ -= piece.size;
  }
  padding_ = 0;
}

std::string TarReader::ReadRecord(const RawHeader& header) {
  if (header.size > Limits::kRecordBytes) MalformedTar("a record has " + std::to_string(header.size) + " bytes");
  BeginContent(header.name, header.size);
  std::string record;
  for (Piece piece = Content(); piece.size > 0; piece = Content()) {
    record.append(reinterpret_cast<const char*>(piece.data), piece.size);
  }
  SkipContent();
  return record;
}

bool TarReader::TakeDescription(const RawHeader& header) {
  switch (header.flag) {
    case 'x':
      records_ = ParsePax(ReadRecord(header));
      return true;
    case 'g': {
      PaxRecords more = ParsePax(ReadRecord(header));
      for (auto& [key, value] : more.values) globals_.values.insert_or_assign(key, std::move(value));
      if (globals_.values.size() > Limits::kRecordBytes / 16) MalformedTar("it has too many global PAX records");
      return true;
    }
    case 'L':
      long_name_ = UntilNul(ReadRecord(header));
      return true;
    case 'K':
      long_link_ = UntilNul(ReadRecord(header));
      return true;
    default:
      return false;
  }
}

void TarReader::Describe(const RawHeader& header, TarEntry& entry) {
  PaxRecords records = std::move(records_);
  for (const auto& [key, value] : globals_.values) records.values.emplace(key, value);
  const auto text = [&records](std::string_view key, const std::string& long_text, const std::string& plain) {
    const std::string* found = records.Find(key);
    return found != nullptr ? *found : long_text.empty() ? plain : long_text;
  };
  entry.name = text("path", long_name_, header.name);
  entry.link = text("linkpath", long_link_, header.link);
  if (const std::string* real = records.Find("GNU.sparse.name"); real != nullptr) entry.name = *real;
  if (entry.name.find('\0') != std::string::npos || entry.link.find('\0') != std::string::npos) {
    MalformedTar("a name has a NUL in it");
  }
  AtEntry(entry.name);
  const std::optional<EntryType> type = TypeOf(header.flag);
  if (!type) Fail(ErrorCode::kUnimplemented, "it has the unknown tar type \"" + Shown({&header.flag, 1}) + '"');
  entry.type = *type;
  const bool marked = !entry.name.empty() && entry.name.back() == '/' && (header.flag == '0' || header.flag == '\0');
  if (marked) entry.type = EntryType::kDirectory;  // before ustar
  entry.mode = header.mode;
  entry.uid = Narrow(records.Number("uid").value_or(header.uid), "uid");
  entry.gid = Narrow(records.Number("gid").value_or(header.gid), "gid");
  entry.mtime = records.TimeOf("mtime").value_or(Time{header.mtime_seconds, 0});
  entry.major = Narrow(header.major, "major number");
  entry.minor = Narrow(header.minor, "minor number");
  AddXattrs(records, entry);
  // pax(5): others have no content, whatever the field says.
  if (entry.type == EntryType::kFile) entry.size = records.Number("size").value_or(header.size);
  BeginContent(entry.name, entry.size);
  if (header.flag == 'S' || records.HasPrefix("GNU.sparse.")) {
    records_ = std::move(records);
    ReadSparse(header, entry);
  }
  AtEntry({});
}

}  // namespace a3s
