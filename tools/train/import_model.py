"""The way back of export.py: checkpoints from a model folder, so that training can go on from the model that ships.

    python tools/train/import_model.py --model models/emoji --vae build/train/vae --flow build/train/flow

Weights come back as they are stored, in bf16; what training had besides (momenta) starts anew.
"""

import argparse
import json
import pathlib

import torch
from safetensors.torch import load_file

import checkpoint
from vae import Vae, VaeConfig


def import_vae(folder):
    """(tensors, facts)"""
    config = json.loads((folder / "config.json").read_text())
    stored = load_file(folder / "diffusion_pytorch_model.safetensors")
    facts = {"base_dim": config["base_dim"], "dim_mult": config["dim_mult"]}
    tensors = {}
    for name, p in Vae(VaeConfig(facts["base_dim"], tuple(facts["dim_mult"]))).state_dict().items():
        value = stored[name]
        tensors[name] = (value[:, :, -1] if value.ndim == 5 else value).reshape(p.shape).float()
    for name in ("latents_mean", "latents_std"):
        tensors[name] = torch.tensor(config[name])
    return tensors, facts


def import_flow(model):
    """(tensors, facts)"""
    config = json.loads((model / "transformer" / "config.json").read_text())
    text = json.loads((model / "text_encoder" / "config.json").read_text())["text_config"]
    tensors = {f"transformer.{name}": value
               for name, value in load_file(model / "transformer" / "diffusion_pytorch_model.safetensors").items()}
    for name, value in load_file(model / "text_encoder" / "model.safetensors").items():
        if not name.startswith("visual."):
            tensors["text_encoder." + name.removeprefix("model.").removeprefix("language_model.")] = value
    facts = {"steps": 0, "samples": 0, "seconds": 0, "layers": config["num_layers"],
             "width": config["num_attention_heads"] * config["attention_head_dim"],
             "text_layers": text["num_hidden_layers"], "vocabulary": text["vocab_size"]}
    return tensors, facts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, default=pathlib.Path("models/emoji"))
    parser.add_argument("--vae", type=pathlib.Path, default=pathlib.Path("build/train/vae"))
    parser.add_argument("--flow", type=pathlib.Path, default=pathlib.Path("build/train/flow"))
    options = parser.parse_args()
    checkpoint.save(options.vae, "vae", *import_vae(options.model / "vae"))
    checkpoint.save(options.flow, "flow", *import_flow(options.model))


if __name__ == "__main__":
    main()
