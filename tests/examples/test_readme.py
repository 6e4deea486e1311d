"""The first example of the README, as it stands there."""

from __future__ import annotations

import re
import shutil

import pytest
from contract.engines import REPOSITORY
from examples.desk import Desk


@pytest.mark.browser
@pytest.mark.timeout(400)
def test_the_first_example_of_the_readme(desk: Desk) -> None:
    """Photo and text make a picture; what it says about files is true."""
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    (desk.folder / "first.py").write_text(re.findall(r"```python\n(.*?)```", readme, re.DOTALL)[0])
    shutil.copy(desk.folder / "from_photo.json", desk.folder / "workflow.json")

    printed = desk.run("first.py")

    (picture,) = desk.pictures()
    assert printed.splitlines()[-1] == f"Out {picture.relative_to(desk.folder)}"
    assert not list((desk.engine.home / "input").rglob("*photo.png"))
    assert list((desk.engine.home / "output").rglob("*.png"))
