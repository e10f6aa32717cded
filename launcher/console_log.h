#pragma once

#include <string>

#include "../addon/unique_fd.h"

namespace a3s {

/** Makes or empties the file, mode 0600; a link is refused. */
UniqueFd OpenConsoleLog(const std::string& path);

/** Tells of what is written to it, from now on. What it takes is a right to read the file. */
UniqueFd WatchConsoleLog(const UniqueFd& log);

/**
 * Starts the one thread of the launcher, which lives as long as the process: it gives the disk back all but the end of
 * the file whenever a guest has written a megabyte more, so that a hostile one fills nothing. The file keeps its
 * length (the beginning becomes a hole): libkrun writes at its own offset, and what was written last is never lost,
 * not even when the process dies.
 */
void LimitConsoleLog(UniqueFd log, UniqueFd events);

}  // namespace a3s
