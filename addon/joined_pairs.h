#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <vector>

#include "system_error.h"
#include "unique_fd.h"

namespace a3s {

/** One who has connected: the end of its pair that libuv can have, and its address on the vsock (0 elsewhere). */
struct Arrived {
  UniqueFd fd;
  uint32_t cid = 0;
  uint32_t port = 0;
};

/**
 * Takes the connections of a listening socket of a kind that libuv does not know, and joins each with a pair of Unix
 * sockets, of which libuv gets one end. Bytes go both ways, an end of one direction is that direction's alone, and who
 * reads nothing is written no more than what one turn has read and the kernel's buffers hold.
 *
 * All of it waits in one epoll set, which whoever owns this looks at (`Step`): nothing here blocks, and a turn is
 * bounded.
 */
class JoinedPairs {
 public:
  /** `most` at once; those that come then wait in the kernel's queue. */
  static Outcome<JoinedPairs*> Open(UniqueFd listener, size_t most);

  int epoll() const { return epoll_.get(); }
  bool idle() const { return !listener_.valid() && pairs_.empty(); }
  /** What has happened meanwhile, to a bound; there may be more. */
  void Step(std::vector<Arrived>& arrived);
  /** Nobody new; those who are joined go on. */
  void StopListening();
  /** To be called about once a second: ends what has been given up, and takes connections again after trouble. */
  void Tick();

 private:
  struct End {
    UniqueFd fd;
    /** What could not be written to it yet. Nothing more for it is read before it is empty. */
    std::vector<uint8_t> pending;
    /** Nothing more comes from it. */
    bool ended = false;
    /** Nobody is there any more: nothing more is written to it. */
    bool gone = false;
    bool watched = false;
    uint32_t events = 0;
    /** Ticks in which it has taken nothing, since our side has been closed. */
    int stalled = 0;
  };

  /** The client's end, and ours. */
  struct Pair {
    std::array<End, 2> ends;
  };

  JoinedPairs(UniqueFd listener, UniqueFd epoll, size_t most)
      : listener_(std::move(listener)), epoll_(std::move(epoll)), most_(most) {}

  void Accept(std::vector<Arrived>& arrived);
  bool Join(UniqueFd client, Arrived& arrived);
  /** False when the pair is through. */
  bool Serve(uint64_t id, Pair& pair, size_t side, uint32_t events);
  void Move(End& from, End& to);
  static void Flush(End& end, End& other);
  static void Lost(End& end, End& other);
  bool Watch(uint64_t id, Pair& pair, size_t side);
  void Listen(bool on);

  UniqueFd listener_;
  UniqueFd epoll_;
  size_t most_;
  bool listening_ = false;
  uint64_t next_id_ = 1;
  std::map<uint64_t, Pair> pairs_;
};

}  // namespace a3s
