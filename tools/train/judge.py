"""Decides whether pictures show what was asked: the nearest training picture, and the classifier."""

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

import checkpoint
from classifier import Classifier, crops, resize
from intents import scene_of
from render import Renderer, batch_from_scenes
from scenes import BACKGROUNDS, SIZES
from train_vae import load_vae, psnr, single_pictures, to_network

PSNR_SHIFTS = (-2, -1, 0, 1, 2)  # pixels
SHIFTS = (-1, 0, 1)
BACKGROUND_TOLERANCE = 3  # of 255
POOL = 4  # pixels averaged to rule pictures out


def read_picture(path):
    """[height, width, 3] f32 in 0 ... 255"""
    return torch.from_numpy(np.asarray(Image.open(path).convert("RGB")).copy()).float()


def cut(picture, thing, dx=0, dy=0):
    """The square where a thing should be, moved by (dx, dy); edges repeat. -> [3, side, side]"""
    side = SIZES[thing.size]
    rows = torch.arange(thing.y - side // 2 + dy, thing.y - side // 2 + dy + side).clamp(0, picture.shape[0] - 1)
    columns = torch.arange(thing.x - side // 2 + dx, thing.x - side // 2 + dx + side).clamp(0, picture.shape[1] - 1)
    return picture[rows][:, columns].permute(2, 0, 1)


def best_psnr(drawn, wanted):
    """Decibels of the best alignment of two pictures within two pixels."""
    best = 0.0
    height, width, _ = wanted.shape
    for dy in PSNR_SHIFTS:
        for dx in PSNR_SHIFTS:
            a = drawn[max(0, dy):height + min(0, dy), max(0, dx):width + min(0, dx)]
            b = wanted[max(0, -dy):height - max(0, dy), max(0, -dx):width - max(0, dx)]
            best = max(best, float(10 * torch.log10(255 ** 2 / (a - b).square().mean().clamp_min(1e-4))))
    return best


class Judge:
    def __init__(self, data, classifier):
        self.renderer = Renderer(data, "cpu")
        tensors, facts = checkpoint.load(classifier, "classifier")
        self.classifier = Classifier(facts["classes"])
        self.classifier.load_state_dict(tensors)
        self.classifier.eval()
        self.references = {}  # (style, size, background): ([pictures, 64 * 64 * 3], squared lengths)

    def reference(self, style, size, color):
        key = (style, size, color)
        if key not in self.references:
            everything = torch.arange(self.renderer.count)
            background = torch.tensor(BACKGROUNDS[color]).float().expand(len(everything), -1)
            rows = torch.cat([crops(self.renderer, part, style, size, background[:len(part)])
                              for part in everything.split(128)])
            if len(self.references) > 12:  # 63 MB each
                self.references.pop(next(iter(self.references)))
            self.references[key] = rows.flatten(1), F.avg_pool2d(rows, POOL).flatten(1)
        return self.references[key]

    def nearest(self, candidates, style, size, color):
        """(picture, squared distance) of the training picture nearest to any of the candidates [shifts, 3, 64, 64].

        The distance of averaged pictures, times the pixels averaged, is never more than that of the pictures: most
        training pictures are ruled out by it without a look at their pixels."""
        rows, coarse = self.reference(style, size, color)
        bounds = torch.cdist(F.avg_pool2d(candidates, POOL).flatten(1), coarse).square().min(0).values * POOL * POOL
        order = bounds.argsort()
        best, found, begin = float("inf"), -1, 0
        while begin < len(order) and not float(bounds[order[begin]]) > best:
            some = order[begin:begin + 32]
            distances = torch.cdist(candidates.flatten(1), rows[some]).square().min(0).values
            if float(distances.min()) < best:
                best, found = float(distances.min()), int(some[distances.argmin()])
            begin += 32
        return found, best

    def color_is_right(self, candidates, thing, color):
        """Whether the thing is nearer in the style asked for than in any other of its own styles."""
        distances = []
        for style in range(13):
            background = torch.tensor([BACKGROUNDS[color]]).float()
            own = crops(self.renderer, torch.tensor([thing.emoji]), style, thing.size, background).flatten(1)
            distances.append(float((candidates - own).square().sum(1).min()))
        return int(np.argmin(distances)) == thing.style

    @torch.no_grad()
    def thing(self, picture, thing, allowed, color):
        """(right by the nearest picture, right by the classifier)"""
        moved = torch.stack([cut(picture, thing, dx, dy) for dy in SHIFTS for dx in SHIFTS]) / 255
        candidates = resize(moved)
        named = int(self.classifier(candidates[4:5]).argmax()) in allowed
        found, distance = self.nearest(candidates, 0, thing.size, color)
        if thing.style:
            tinted, tinted_distance = self.nearest(candidates, thing.style, thing.size, color)
            found = tinted if tinted_distance < distance else -1
            if not self.color_is_right(candidates.flatten(1), thing, color):
                return False, False
        return found in allowed, named

    def background_error(self, picture, color):
        """The largest difference of a corner's mean colour, of 255."""
        want = torch.tensor(BACKGROUNDS[color]).float()
        corners = (picture[:6, :6], picture[:6, -6:], picture[-6:, :6], picture[-6:, -6:])
        return max(float((corner.mean((0, 1)) - want).abs().max()) for corner in corners)

    def question(self, question, picture):
        """{what was counted: value}"""
        color = question.intent.top or "white"
        things = scene_of(question.intent, question.canvas).things
        allowed = [a for group, a in zip(question.intent.groups, question.allowed) for _ in range(group.count)]
        verdicts = [self.thing(picture, thing, a, color) for thing, a in zip(things, allowed)]
        row = {"nearest": all(v[0] for v in verdicts), "classifier": all(v[1] for v in verdicts)}
        if question.set == "backgrounds":
            error = self.background_error(picture, color)
            row["background"] = not error > BACKGROUND_TOLERANCE
            row["background error"] = error
        if question.set.startswith("names"):
            wanted = self.renderer(batch_from_scenes([scene_of(question.intent, 0)]), 0)[0].float()
            row["psnr"] = best_psnr(picture, wanted)
        return row

    def report(self, questions, folder):
        """`questions`: {number: question}; `folder` has a picture for each number."""
        rows = {question.set: [] for question in questions.values()}
        # Neighbours share the training pictures that they are compared with.
        order = sorted(questions, key=lambda i: (questions[i].intent.top, questions[i].canvas,
                                                             questions[i].intent.groups[0].style, questions[i].intent.number))
        for done, i in enumerate(order):
            question = questions[i]
            rows[question.set].append((question, self.question(question, read_picture(folder / f"{i:05}.png"))))
            if done % 500 == 0:
                print(f"judged {done} of {len(questions)}", flush=True)
        sets = {}
        for name, entries in rows.items():
            summary = {"pictures": len(entries)}
            for key in entries[0][1]:
                values = [float(row[key]) for _, row in entries]
                if key == "psnr":
                    summary["psnr dB"] = round(sum(values) / len(values), 2)
                elif key == "background error":
                    summary["background error, largest"] = round(max(values), 2)
                else:
                    summary[f"{key} %"] = round(100 * sum(values) / len(values), 1)
            summary["wrong"] = [q.prompt for q, row in entries if not row["nearest"]]
            sets[name] = summary
        everything = [row for entries in rows.values() for _, row in entries]
        share = lambda key: round(100 * sum(row[key] for row in everything) / len(everything), 1)
        return {"sets": sets, "nearest, all %": share("nearest"), "classifier, all %": share("classifier"),
                "classifier on training pictures %": self.classifier_alone()}

    @torch.no_grad()
    def classifier_alone(self):
        """How often the classifier is right about the training pictures themselves."""
        right = total = 0
        white = torch.full((128, 3), 255.0)
        for size in range(len(SIZES)):
            for part in torch.arange(self.renderer.count).split(128):
                named = self.classifier(crops(self.renderer, part, 0, size, white[:len(part)])).argmax(1)
                right += int((named == part).sum())
                total += len(part)
        return round(100 * right / total, 2)


@torch.no_grad()
def vae_alone(data, folder):
    """PSNR in decibels of the VAE on every picture alone, float32."""
    renderer = Renderer(data, "cpu")
    vae, _, _ = load_vae(folder, torch.device("cpu"))
    values = []
    for part in single_pictures(renderer).split(32):
        x = to_network(part)
        values.append(psnr(vae.decode(vae.encode(x)), x) * len(part))
    return sum(values) / renderer.count
