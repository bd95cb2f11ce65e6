"""Checkpoints: safetensors in parts, so that no file is larger than a part may be."""

import json
import pathlib

from safetensors.torch import load_file, save_file

PART_BYTES = 15_000_000


def save(folder, name, tensors, facts=None):
    """Writes <name>-00.safetensors ... and <name>.json with `facts`."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(f"{name}-[0-9][0-9].safetensors"):
        old.unlink()
    parts, used = [{}], 0
    for key, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous().clone()
        size = tensor.numel() * tensor.element_size()
        if used and used + size > PART_BYTES:
            parts.append({})
            used = 0
        parts[-1][key] = tensor
        used += size
    for i, part in enumerate(parts):
        save_file(part, folder / f"{name}-{i:02}.safetensors")
    (folder / f"{name}.json").write_text(json.dumps(facts or {}, indent=1))


def load(folder, name):
    """(tensors, facts), or (None, None) if there is no such checkpoint."""
    folder = pathlib.Path(folder)
    if not (folder / f"{name}.json").exists():
        return None, None
    tensors = {}
    for part in sorted(folder.glob(f"{name}-[0-9][0-9].safetensors")):
        tensors.update(load_file(part))
    return tensors, json.loads((folder / f"{name}.json").read_text())
