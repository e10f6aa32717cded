{
  "targets": [
    {
      "target_name": "a3s_box",
      "sources": [
        "addon/arguments.cc",
        "addon/binding.cc",
        "addon/bind_mount.cc",
        "addon/exit_watch.cc",
        "addon/file_disk.cc",
        "addon/directory_lock.cc",
        "addon/go_on_in.cc",
        "addon/id_namespace.cc",
        "addon/join_accepted.cc",
        "addon/joined_pairs.cc",
        "addon/listen_in.cc",
        "addon/look_up.cc",
        "addon/mount_attributes.cc",
        "addon/mount_namespace.cc",
        "addon/mount_target.cc",
        "addon/mount_watch.cc",
        "addon/mounter.cc",
        "addon/netlink.cc",
        "addon/netns.cc",
        "addon/notify.cc",
        "addon/open_in.cc",
        "addon/overlay.cc",
        "addon/peer.cc",
        "addon/pidfd.cc",
        "addon/project_quota.cc",
        "addon/read_link.cc",
        "addon/spawn.cc",
        "addon/spawn_child.cc",
        "addon/system_error.cc",
        "addon/tap.cc",
        "addon/tree.cc",
        "addon/tree_walk.cc",
        "addon/tsc.cc"
      ],
      "defines": [
        "NAPI_VERSION=9",
        "NAPI_DISABLE_CPP_EXCEPTIONS",
        "NODE_ADDON_API_DISABLE_DEPRECATED",
        "_GNU_SOURCE"
      ],
      "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
      "cflags_cc!": ["-std=gnu++17", "-std=gnu++20", "-fexceptions", "-frtti"],
      "cflags_cc": [
        "-std=c++20",
        "-fno-exceptions",
        "-fno-rtti",
        "-fvisibility=hidden",
        "-Wall",
        "-Wextra",
        "-Werror"
      ]
    }
  ]
}
