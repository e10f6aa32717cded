#pragma once

#include <string_view>

namespace a3s {

/** Source: RFC 3629, section 4. */
bool IsUtf8(std::string_view text);

}  // namespace a3s
