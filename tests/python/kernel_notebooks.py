"""Runs notebooks through the kernel that they name, as JupyterLab or VS Code would, with nbclient; and has nbformat judge the files.

    python3 kernel_notebooks.py validate NOTEBOOK...
    python3 kernel_notebooks.py execute FOLDER NOTEBOOK...

`execute` writes each executed notebook to FOLDER. Each runs in a kernel of its own, in the notebook's own folder. A front end joins texts of
one stream that follow each other; nbclient keeps the messages apart, so that is done here. JUPYTER_PATH says where the kernel lies. Left out are the
script with which the kernel's first cell looks for its web server, and progress that was shown while a cell ran: neither is the notebook's.
"""
import os
import re
import sys

import nbformat
from nbclient import NotebookClient


def is_passing(output):
    data = output.get("data", {})
    is_progress = output["output_type"] == "display_data" and re.fullmatch(r"(\d+)/\1", data.get("text/html", ""))
    return is_progress or "dotnet-interactive-this-cell" in data.get("text/html", "")


def join_streams(outputs):
    joined = []
    for output in outputs:
        if is_passing(output):
            continue
        last = joined[-1] if joined else None
        if last and output["output_type"] == last["output_type"] == "stream" and output["name"] == last["name"]:
            last["text"] += output["text"]
        else:
            joined.append(output)
    return joined


def execute(path, folder):
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    where = {"metadata": {"path": os.path.dirname(os.path.abspath(path))}}
    NotebookClient(notebook, timeout=300, startup_timeout=60, resources=where).execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = join_streams(cell.outputs)
    nbformat.validate(notebook)
    nbformat.write(notebook, os.path.join(folder, os.path.basename(path)))


def main(operation, *arguments):
    if operation == "validate":
        for path in arguments:
            nbformat.validate(nbformat.read(path, as_version=nbformat.NO_CONVERT))
        print(f"{len(arguments)} valid")
    elif operation == "execute":
        folder, *paths = arguments
        for path in paths:
            execute(path, folder)
        print(f"{len(paths)} executed")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:])
