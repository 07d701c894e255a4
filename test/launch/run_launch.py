"""Runs a launch file to its end as `ros2 launch` does: `run_launch.py FILE name:=value...`; SIGINT ends it."""

import sys

from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

from launch import LaunchDescription, LaunchService

file, *given = sys.argv[1:]
arguments = [tuple(argument.split(":=", 1)) for argument in given]
service = LaunchService(argv=given)
source = PythonLaunchDescriptionSource(file)
service.include_launch_description(LaunchDescription([IncludeLaunchDescription(source, launch_arguments=arguments)]))
sys.exit(service.run())
