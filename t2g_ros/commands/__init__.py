"""The subcommands of `t2g`; `t2g_ros.cli.COMMANDS` lists them."""
