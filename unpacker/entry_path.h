#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace a3s {

using Parts = std::vector<std::string>;

/**
 * The components of an entry's name or of a hard link's target; none for the root itself. A leading slash means the
 * layer's root, as everywhere in the field; ".." is refused, also where it would stay inside: no honest writer makes
 * it.
 */
Parts EntryParts(std::string_view name);
Parts LinkParts(std::string_view link);

/** What a name says about layers below: OCI image spec, "layer.md", Whiteouts. */
struct Whiteout {
  enum class Kind {
    kNone,
    /** The directory hides all that lower layers have in it. */
    kOpaque,
    /** Lower layers' `name` is gone. */
    kRemoved,
    /** Bookkeeping of AUFS, without meaning for anyone else. */
    kIgnored,
  };
  Kind kind = Kind::kNone;
  std::string name;
};

Whiteout WhiteoutOf(std::string_view name);

[[noreturn]] void Escapes(const std::string& why);

}  // namespace a3s
