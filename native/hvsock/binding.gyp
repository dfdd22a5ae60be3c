{
  "targets": [
    {
      "target_name": "hvsock",
      "sources": [
        "src/addon.cc",
        "src/addon_background.cc",
        "src/addon_descriptors.cc",
        "src/addon_poll.cc",
        "src/addon_process.cc",
        "src/addon_relay.cc",
        "src/addon_root_file.cc",
        "src/addon_signal.cc",
        "src/addon_socket.cc",
        "src/addon_system.cc",
        "src/descriptors.cc",
        "src/fd_passing.cc",
        "src/fd_poll.cc",
        "src/host_socket_filter.cc",
        "src/job_threads.cc",
        "src/lead_threads.cc",
        "src/main_loop.cc",
        "src/pidfd.cc",
        "src/relay.cc",
        "src/relay_engine.cc",
        "src/relay_move.cc",
        "src/root_file.cc",
        "src/signal_watch.cc",
        "src/socket.cc",
        "src/spawn.cc"
      ],
      "include_dirs": ["../../node_modules/node-addon-api"],
      "defines": [
        "NAPI_VERSION=9",
        "NAPI_CPP_EXCEPTIONS",
        "NODE_ADDON_API_DISABLE_DEPRECATED",
        # Errors in a worker that is being terminated, where none can be thrown any more.
        "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS",
        "_GNU_SOURCE"
      ],
      "cflags_cc!": ["-fno-exceptions", "-std=gnu++20", "-std=gnu++17"],
      "cflags_cc": ["-std=gnu++17", "-fexceptions", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden", "-O2"],
      # The headers of Node and node-addon-api are not held to our warnings.
      "cflags": ["-isystem", "../../../node_modules/node-addon-api"],
      "ldflags": ["-Wl,-z,relro,-z,now", "-pthread"]
    }
  ]
}
