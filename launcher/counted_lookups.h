#pragma once

namespace a3s {

/**
 * From now on the file server of a libkrun in this process has open what its guest knows, and nothing else. Answering
 * READDIRPLUS it looks each entry up, and counts that as known to the guest: "." and ".." too, which a guest's kernel
 * takes no note of and so never forgets (FUSE: their lookup count does not change), and the entry that did not fit into
 * the answer. Each would be open for as long as the Box lives, and its file system's device busy.
 *
 * `share` is the folder that is served, in the jail. What was looked up as "." or ".." is taken to be that: it is open
 * in any case. Listings end before the first entry that does not fit.
 */
void CountWhatGuestKnows(const char* share);

}  // namespace a3s
