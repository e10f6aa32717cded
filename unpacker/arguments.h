#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace a3s {

enum class Compression { kNone, kGzip, kZstd };

/** `unpack DIRECTORY COMPRESSION PACKED_BYTES DIFF_ID [ROOT_ID]`; the blob is standard input. */
struct UnpackArguments {
  /** There and empty; becomes the root of the jail. The tree goes into its `fs`. */
  std::string directory;
  Compression compression = Compression::kNone;
  /** How long the blob will be once all of it has come. */
  uint64_t packed_bytes = 0;
  /** "sha256:…" that the unpacked layer must have. */
  std::string diff_id;
  /** The host's id of root in the user namespace that came as a descriptor; 0: none came, and root is the host's. */
  uint32_t root_id = 0;
};

/** `probe DIRECTORY ROOT_ID`: whether a layer could be unpacked there in that user namespace. */
struct ProbeArguments {
  std::string directory;
  uint32_t root_id = 0;
};

/** `settle DIRECTORY LOWER…`: roots of the layers below, uppermost first. */
struct SettleArguments {
  std::string directory;
  std::vector<std::string> lowers;
};

/** `pack DIRECTORY TREE UUID`: the root of an unpacked layer, which becomes an image in the directory. */
struct PackArguments {
  std::string directory;
  std::string tree;
  std::array<uint8_t, 16> uuid = {};
};

/** Wrong ones end the process. */
UnpackArguments ReadUnpackArguments(int argc, char** argv);
ProbeArguments ReadProbeArguments(int argc, char** argv);
SettleArguments ReadSettleArguments(int argc, char** argv);
PackArguments ReadPackArguments(int argc, char** argv);

}  // namespace a3s
