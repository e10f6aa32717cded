#include "joined_pairs.h"

#include <sys/epoll.h>
#include <sys/socket.h>

// After the socket types that it needs.
#include <linux/vm_sockets.h>

#include <cerrno>
#include <cstring>

namespace a3s {

namespace {

/** Of one direction in one turn. */
constexpr size_t kSliceBytes = 64 * 1024;
/** Of one turn: with their slices a megabyte or two. */
constexpr int kEventsAtOnce = 16;
constexpr int kAcceptsAtOnce = 16;
constexpr int kBacklog = 128;
/** What a client has not taken so long after our side has been closed is not waited for. */
constexpr int kLingerTicks = 5;
/** In the epoll set; a pair's end is twice its number and its side. */
constexpr uint64_t kListener = 0;
constexpr uint32_t kReadable = EPOLLIN;
constexpr uint32_t kWritable = EPOLLOUT;
constexpr size_t kClient = 0;
constexpr size_t kOurs = 1;

bool WouldBlock() { return errno == EAGAIN || errno == EWOULDBLOCK; }

}  // namespace

Outcome<JoinedPairs*> JoinedPairs::Open(UniqueFd listener, size_t most) {
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) return Failed("epoll_create1");
  if (::listen(listener.get(), kBacklog) != 0) return Failed("listen");
  epoll_event event = {};
  event.data.u64 = kListener;
  if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, listener.get(), &event) != 0) return Failed("epoll_ctl");
  auto* pairs = new JoinedPairs(std::move(listener), std::move(epoll), most);
  pairs->Listen(true);
  return pairs;
}

void JoinedPairs::Step(std::vector<Arrived>& arrived) {
  epoll_event events[kEventsAtOnce];
  const int count = ::epoll_wait(epoll_.get(), events, kEventsAtOnce, 0);
  for (int i = 0; i < count; i++) {
    const uint64_t data = events[i].data.u64;
    if (data == kListener) {
      Accept(arrived);
      continue;
    }
    // An earlier event of this turn may have ended the pair.
    const auto found = pairs_.find(data / 2);
    if (found == pairs_.end() || Serve(found->first, found->second, data % 2, events[i].events)) continue;
    pairs_.erase(found);
    Listen(pairs_.size() < most_);
  }
}

void JoinedPairs::StopListening() { listener_.Reset(); }

void JoinedPairs::Tick() {
  for (auto at = pairs_.begin(); at != pairs_.end();) {
    Pair& pair = at->second;
    const bool over = pair.ends[kOurs].gone && ++pair.ends[kClient].stalled > kLingerTicks;
    at = over ? pairs_.erase(at) : std::next(at);
  }
  Listen(pairs_.size() < most_);
}

void JoinedPairs::Listen(bool on) {
  if (!listener_.valid() || listening_ == on) return;
  epoll_event event = {};
  event.events = on ? kReadable : 0U;
  event.data.u64 = kListener;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, listener_.get(), &event) == 0) listening_ = on;
}

void JoinedPairs::Accept(std::vector<Arrived>& arrived) {
  for (int i = 0; i < kAcceptsAtOnce && listener_.valid() && pairs_.size() < most_; i++) {
    sockaddr_storage address = {};
    socklen_t length = sizeof address;
    auto* peer = reinterpret_cast<sockaddr*>(&address);
    UniqueFd client(::accept4(listener_.get(), peer, &length, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!client.valid()) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      // No descriptors, no memory: the next tick tries again, and nothing spins until then.
      if (!WouldBlock()) Listen(false);
      return;
    }
    Arrived one;
    if (address.ss_family == AF_VSOCK) {
      const auto* vsock = reinterpret_cast<const sockaddr_vm*>(&address);
      one.cid = vsock->svm_cid;
      one.port = vsock->svm_port;
    }
    if (Join(std::move(client), one)) {
      arrived.push_back(std::move(one));
    } else {
      Listen(false);
    }
  }
  if (pairs_.size() >= most_) Listen(false);
}

bool JoinedPairs::Join(UniqueFd client, Arrived& arrived) {
  int fds[2] = {-1, -1};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) != 0) return false;
  UniqueFd ours(fds[0]);
  UniqueFd theirs(fds[1]);
  const uint64_t id = next_id_++;
  Pair& pair = pairs_[id];
  pair.ends[kClient].fd = std::move(client);
  pair.ends[kOurs].fd = std::move(ours);
  if (!Watch(id, pair, kClient) || !Watch(id, pair, kOurs)) {
    pairs_.erase(id);
    return false;
  }
  arrived.fd = std::move(theirs);
  return true;
}

bool JoinedPairs::Serve(uint64_t id, Pair& pair, size_t side, uint32_t events) {
  End& end = pair.ends[side];
  End& other = pair.ends[1 - side];
  if ((events & (EPOLLHUP | EPOLLERR)) != 0) Lost(end, other);
  if ((events & EPOLLOUT) != 0) Flush(end, other);
  if (!end.ended && other.pending.empty()) Move(end, other);
  const bool through = end.ended && other.ended && end.pending.empty() && other.pending.empty();
  return !through && Watch(id, pair, kClient) && Watch(id, pair, kOurs);
}

/** Nothing that is written to it arrives any more, and who writes is told; what it has written before is there to be
 * read. */
void JoinedPairs::Lost(End& end, End& other) {
  end.gone = true;
  end.pending.clear();
  other.ended = true;
  ::shutdown(other.fd.get(), SHUT_RD);
}

void JoinedPairs::Flush(End& end, End& other) {
  if (end.pending.empty()) return;
  const ssize_t sent = ::send(end.fd.get(), end.pending.data(), end.pending.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0) {
    if (!WouldBlock() && errno != EINTR) Lost(end, other);
    return;
  }
  end.stalled = 0;
  end.pending.erase(end.pending.begin(), end.pending.begin() + sent);
}

void JoinedPairs::Move(End& from, End& to) {
  uint8_t slice[kSliceBytes];
  const ssize_t got = ::recv(from.fd.get(), slice, sizeof slice, MSG_DONTWAIT);
  if (got < 0) {
    if (WouldBlock() || errno == EINTR) return;
    Lost(from, to);  // a reset: neither direction goes on
    from.ended = true;
    ::shutdown(to.fd.get(), SHUT_RDWR);
    return;
  }
  if (got == 0) {
    from.ended = true;
    ::shutdown(to.fd.get(), SHUT_WR);
    return;
  }
  if (to.gone) return;
  to.pending.assign(slice, slice + got);
  Flush(to, from);
}

bool JoinedPairs::Watch(uint64_t id, Pair& pair, size_t side) {
  End& end = pair.ends[side];
  const End& other = pair.ends[1 - side];
  const uint32_t events =
      (!end.ended && other.pending.empty() ? kReadable : 0U) | (end.pending.empty() ? 0U : kWritable);
  // Without any the kernel still tells that it has gone, once and again: to be heard once.
  const bool watched = events != 0 || !end.gone;
  if (watched == end.watched && (!watched || events == end.events)) return true;
  const int operation = !watched ? EPOLL_CTL_DEL : end.watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
  epoll_event event = {};
  event.events = events;
  event.data.u64 = id * 2 + side;
  if (::epoll_ctl(epoll_.get(), operation, end.fd.get(), &event) != 0) return false;
  end.watched = watched;
  end.events = events;
  return true;
}

}  // namespace a3s
