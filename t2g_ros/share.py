"""Where the package's shared files (models, config, launch) lie: checkout, colcon install or pip install."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from t2g_ros.errors import InstallationError


def share_dir() -> Path:
    """Return the folder that holds `models/`, `config/` and `launch/`.

    A source checkout wins, then every prefix of the ament index, then the Python prefix.

    Raises:
        InstallationError: none of the places holds a `models` folder; the message lists them.
    """
    prefixes = [p for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    places = [Path(__file__).resolve().parent.parent]
    places += [Path(prefix) / "share" / "t2g_ros" for prefix in [*prefixes, sys.prefix]]
    for place in places:
        # A folder of that name alone may be anybody's, such as another package's in site-packages.
        if (place / "models").is_dir() and (place / "package.xml").is_file():
            return place
    looked = ", ".join(str(place) for place in places)
    raise InstallationError(f"t2g_ros: no 'models' folder in any of: {looked}; reinstall the package")
