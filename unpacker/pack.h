#pragma once

#include <array>
#include <cstdint>

namespace a3s {

/**
 * Writes the tree, an unpacked layer, as `layer.erofs` into the directory: what a guest mounts, and lays an overlay
 * over that has "userxattr" (docs/adr/0143). Of overlayfs' own attributes it has the one that hides lower directories,
 * by the name that such an overlay reads. What fails ends the process.
 */
void Pack(int around, int tree, const std::array<uint8_t, 16>& uuid);

}  // namespace a3s
