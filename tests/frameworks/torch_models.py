"""TorchScript models."""

import torch

from making import FOLDER, case, done, np, pa, schema

torch.manual_seed(5)
random = np.random.default_rng(5)
x = random.normal(size=(16, 10)).astype(np.float32)


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(10, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))

    def forward(self, x):
        return self.layers(x)


class Two(torch.nn.Module):
    def forward(self, first: torch.Tensor, second: torch.Tensor):
        return first + second, first * second


class Branches(torch.nn.Module):
    """Takes a way that depends on its data: a trace, and so a conversion, keeps only one of them."""

    def forward(self, x):
        if bool((x.sum() > 0).item()):
            return x * 2
        return x - 1


class First(torch.nn.Module):
    """Answers otherwise the first time than ever after: a conversion, which calls it once, sees only that."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x):
        self.calls += 1
        return torch.where(self.calls == 1, x * 2, x - 1)


net, two = Net().eval(), Two()
f32, f64 = pa.list_(pa.float32(), 10), pa.list_(pa.float64(), 10)
with torch.no_grad():
    y = net(torch.from_numpy(x)).numpy()
    both = [t.numpy() for t in two(torch.from_numpy(x), torch.from_numpy(x * 2))]
for name, suffix in (("single", "pt"), ("pth", "pth"), ("ot", "ot")):
    torch.jit.script(net).save(str(FOLDER / f"net-{name}.{suffix}"))
    case(f"pytorch-{name}", "pytorch", FOLDER / f"net-{name}.{suffix}", schema(input=f32), schema(output=pa.list_(pa.float32(), 1)), {"input": x}, {"output": y}, tolerance=1e-5, convert=True)
case("pytorch-float64-schema", "pytorch", FOLDER / "net-single.pt", schema(input=f64), schema(output=pa.list_(pa.float64(), 1)), {"input": x.astype(np.float64)}, {"output": y.astype(np.float64)}, tolerance=1e-5, convert=False)
torch.jit.script(two).save(str(FOLDER / "two.pt"))
case("pytorch-two", "pytorch", FOLDER / "two.pt", schema(second=f32, first=f32), schema(total=f32, product=f32), {"second": x * 2, "first": x}, {"total": both[0], "product": both[1]}, tolerance=1e-5)
torch.jit.trace(Branches(), torch.ones(1, 10), check_trace=False).save(str(FOLDER / "traced.pt"))
torch.jit.script(Branches()).save(str(FOLDER / "branches.pt"))
with torch.no_grad():
    ways = Branches()(torch.from_numpy(x)).numpy()
case("pytorch-branches", "pytorch", FOLDER / "branches.pt", schema(input=f32), schema(output=f32), {"input": x}, {"output": ways}, tolerance=1e-5)
torch.jit.script(First()).save(str(FOLDER / "first.pt"))
case("pytorch-converts-wrongly", "pytorch", FOLDER / "first.pt", schema(input=f32), schema(output=f32), {"input": x}, {"output": x - 1}, tolerance=1e-5, convert=False, reason="does not agree")
done()
