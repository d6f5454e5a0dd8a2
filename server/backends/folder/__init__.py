"""Files in a folder, of this process or of all that share it."""

from __future__ import annotations

from server.backends.folder.files import FolderFiles
from server.backends.folder.paths import prepare_folder, shared_secret

__all__ = ["FolderFiles", "prepare_folder", "shared_secret"]
