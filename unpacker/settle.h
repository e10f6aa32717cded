#pragma once

#include <vector>

#include "../addon/unique_fd.h"

namespace a3s {

/**
 * Directories that a layer has without an entry (`implied`, beside its tree) take their attributes from the layers
 * below, uppermost first, which are complete.
 */
void Settle(int around, const std::vector<UniqueFd>& lowers);

}  // namespace a3s
