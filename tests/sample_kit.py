"""Where the sample plugins and the code under test are."""

from __future__ import annotations

from pathlib import Path

import filial

CORE = str(Path(filial.__file__).parents[1])
SAMPLES = Path(__file__).with_name("sample")
