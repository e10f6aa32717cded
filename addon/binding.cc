#include <napi.h>

#include "addon_data.h"
#include "bind_mount.h"
#include "directory_lock.h"
#include "exit_watch.h"
#include "file_disk.h"
#include "go_on_in.h"
#include "id_namespace.h"
#include "join_accepted.h"
#include "listen_in.h"
#include "look_up.h"
#include "mount_attributes.h"
#include "mount_namespace.h"
#include "mount_watch.h"
#include "netns.h"
#include "notify.h"
#include "open_in.h"
#include "overlay.h"
#include "peer.h"
#include "pidfd.h"
#include "project_quota.h"
#include "read_link.h"
#include "spawn.h"
#include "tap.h"
#include "tree.h"
#include "tsc.h"

// The same functions in the same order as `src/native/addon.ts` declares them.
static Napi::Object Init(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new a3s::AddonData());
  a3s::InstallWatchCleanup(env);
  const auto add = [&](const char* name, Napi::Value (*function)(const Napi::CallbackInfo&)) {
    exports.Set(name, Napi::Function::New(env, function, name));
  };
  add("bindMount", a3s::BindMount);
  add("copyMount", a3s::CopyMount);
  add("mountOverlay", a3s::MountOverlay);
  add("mountTmpfs", a3s::MountTmpfs);
  add("mountFileDisk", a3s::MountFileDisk);
  add("abandonFileDisk", a3s::AbandonFileDisk);
  add("openUserNamespace", a3s::OpenUserNamespace);
  add("setPropagation", a3s::SetPropagation);
  add("setReadonly", a3s::SetReadonly);
  add("unmount", a3s::Unmount);
  add("openAmongMounts", a3s::OpenAmongMounts);
  add("readMounts", a3s::ReadMounts);
  add("createNetns", a3s::CreateNetns);
  add("removeNetns", a3s::RemoveNetns);
  add("createTap", a3s::CreateTap);
  add("redirectLinks", a3s::RedirectLinks);
  add("raiseLinks", a3s::RaiseLinks);
  add("addLinkEnd", a3s::AddLinkEnd);
  add("listenIn", a3s::ListenIn);
  add("bindVsock", a3s::BindVsock);
  add("joinAccepted", a3s::JoinAccepted);
  add("readLink", a3s::ReadLink);
  add("spawn", a3s::Spawn);
  add("adoptProcess", a3s::AdoptProcess);
  add("watchExit", a3s::WatchExit);
  add("watchMounts", a3s::WatchMounts);
  add("signalProcess", a3s::SignalProcess);
  add("closeFd", a3s::CloseFd);
  add("lockDirectory", a3s::LockDirectory);
  add("lockFile", a3s::LockFile);
  add("openIn", a3s::OpenIn);
  add("removeTree", a3s::RemoveTree);
  add("treeUsage", a3s::TreeUsage);
  add("boundsProjects", a3s::BoundsProjects);
  add("setProject", a3s::SetProject);
  add("projectOf", a3s::ProjectOf);
  add("limitProject", a3s::LimitProject);
  add("nextProject", a3s::NextProject);
  add("readTsc", a3s::ReadTsc);
  add("notifySocket", a3s::NotifySocket);
  add("peerCredentials", a3s::PeerCredentials);
  add("openPeer", a3s::OpenPeer);
  add("lookUp", a3s::LookUp);
  add("goOnInCgroupNamespace", a3s::GoOnInCgroupNamespace);
  add("exitNow", a3s::ExitNow);
  return exports;
}

NODE_API_MODULE(a3s_box, Init)
