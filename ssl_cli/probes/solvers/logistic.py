"""Multinomial logistic regression with an L2 penalty: many problems solved side by side by one L-BFGS."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ssl_cli.probes.progress import tracked
from ssl_cli.probes.solvers.rows import SparseRows

EIGEN_LIMIT = 4096  # features (or rows, if fewer): up to here a decomposition costs less than it saves
SAMPLE = 4096  # rows, and at least four a feature, to estimate the curvature of the objective
MEMORY = 10  # pairs of steps and gradient changes that L-BFGS keeps
CHUNK_BYTES = 64 * 2**20  # bound on the logits held at a time
MANY = 256  # classes: with more, each penalty starts where the larger one ended
GAP = 1e-4  # of the objective: a problem is solved when a step promises a smaller decrease
Pair = tuple[Tensor, Tensor]


def fit_logistic(
    x: Tensor, y: Tensor, classes: int, penalties: Tensor, max_iter: int = 200, tol: float = 1e-4
) -> tuple[Tensor, Tensor]:
    """Minimise mean cross-entropy + penalty / 2 |W|^2 for every draw and every penalty; b is not penalised.

    All problems advance together, each with its own step length and history, because one wide matrix product costs far
    less than many thin ones; a penalty leaves when all its draws are solved. With more than `MANY` classes the products
    are wide anyway. Then the problems of a draw are solved in turn, from the largest penalty to the smallest, each from
    the solution before (2,000 classes of two rows: 20 s, not 89, and an eighth of the memory). In scikit-learn's
    terms a penalty is 1 / (C n).

    Args:
        x: [G, n, d] float, G draws of n rows, standardised (the step lengths assume values of order 1).
        y: [G, n] int64 in 0..classes-1.
        classes: C, the number of classes.
        penalties: [P] float, > 0.
        max_iter: evaluations of the objective.
        tol: a problem is solved when no entry of its gradient exceeds this, and a step should lower the objective by at
            most one part in 10,000 (if classes are separable, gradients are small long before the end).

    Returns:
        W [G, P, d, C] and b [G, P, C].
    """
    penalties = penalties.to(x.device, x.dtype)
    ridge = penalties.view(-1, 1, 1).repeat(1, 1, x.shape[2] + 1)  # [P, 1, d + 1]
    ridge[..., -1] = 0.0
    theta = ridge.new_zeros(len(x), len(penalties), classes, x.shape[2] + 1)  # the last column is the intercept
    if classes <= MANY:
        theta = _solve(x, y, ridge, theta, max_iter, tol)
    else:
        largest_first = penalties.argsort(descending=True).tolist()
        for draw in tracked(range(len(x))):
            at, start = slice(draw, draw + 1), torch.zeros_like(theta[:1, :1])
            x_at = x if len(x) == 1 else x[at]
            space = _Space.of(x_at)
            for p in tracked(largest_first):
                start = theta[at, p : p + 1] = _solve(x_at, y[at], ridge[p : p + 1], start, max_iter, tol, space)
    return theta[..., :-1].mT, theta[..., -1]


def _solve(
    x: Tensor, y: Tensor, ridge: Tensor, theta: Tensor, max_iter: int, tol: float, space: "_Space | None" = None
) -> Tensor:
    """Return the solutions [G, P, C, d + 1] for the penalties [P, 1, d + 1], from the start ``theta``."""
    space = space or _Space.of(x)

    def objective(theta: Tensor, kept: Tensor) -> Pair:
        return _objective(theta, x, y, ridge[kept])

    def curvature(theta: Tensor, kept: Tensor) -> Tensor:
        return space.curvature(theta, ridge[kept])

    return _minimise(objective, curvature, space.divide, theta, max_iter, tol)


def _objective(theta: Tensor, x: Tensor, y: Tensor, ridge: Tensor) -> tuple[Tensor, Tensor]:
    """Return the objective [G, P] and its gradient, shaped like theta [G, P, C, d + 1], over chunks of rows."""
    groups, n, _ = x.shape
    loss = 0.5 * (ridge * theta.square()).sum((2, 3))
    grad = ridge * theta
    rows = max(1, CHUNK_BYTES // (x.itemsize * groups * theta[0, ..., 0].numel()))
    for x_rows, y_rows in zip(x.split(rows, dim=1), y.split(rows, dim=1), strict=True):
        target = y_rows[:, :, None, None].expand(-1, -1, theta.shape[1], 1)
        log_p = _logits(theta, x_rows).log_softmax(-1)
        right = log_p.gather(-1, target)
        residual = log_p.exp_().scatter_(-1, target, 0.0)
        wrong = residual.sum(-1, keepdim=True)
        # If p is almost 1, compute 1 - p and log(p) from the other classes: of separable classes nothing else is left.
        loss -= torch.where(wrong < 0.5, torch.log1p(-wrong), right).sum((1, 3)) / n
        residual.scatter_(-1, target, -wrong)  # p - onehot(y)
        # In this order: x' residual, a thin and tall product, is several times slower in the usual libraries.
        grad[..., :-1] += (residual.flatten(2).mT @ x_rows).unflatten(1, theta.shape[1:3]) / n
        grad[..., -1] += residual.sum(1) / n
    return loss, grad


@dataclass
class _Space:
    """The features' principal directions. L-BFGS starts with a Hessian that is diagonal in them.

    Features are hard to fit because their directions differ in scale by orders of magnitude; separable classes are
    because the objective is less and less curved on the way down. This removes both; few iterations are left.
    """

    basis: Tensor | None  # [G, d, r]; None: the features as they are, if a decomposition would cost too much
    rows: Tensor  # [G, m, d] a sample of all rows
    squares: Tensor  # [G, m, r] of their coordinates

    @classmethod
    def of(cls, x: Tensor | SparseRows) -> "_Space":
        n, d = x.shape[1:]
        if isinstance(x, SparseRows):
            return cls(None, x, x.square())
        rows = x[:, :: max(1, n // max(SAMPLE, 4 * d))]
        if min(n, d) > EIGEN_LIMIT:
            return cls(None, rows, rows.square())
        if d <= n:
            basis = torch.linalg.eigh(rows.mT @ rows / rows.shape[1])[1]
        else:  # gradients lie in the span of the rows
            values, left = torch.linalg.eigh(x @ x.mT / n)
            basis = x.mT @ left / (n * values.clamp_min(1e-12)).sqrt().unsqueeze(1)
        return cls(basis, rows, (rows @ basis).square())

    def curvature(self, theta: Tensor, ridge: Tensor) -> Tensor:
        """Return the second derivatives [G, P, C, r + 1] along each direction, those of the intercepts last."""
        p = _logits(theta, self.rows).softmax(-1)
        weight = (p * (1 - p)).flatten(2).mT / len(p[0])  # [G, P C, m]
        ones = weight.new_ones(len(weight), weight.shape[2], 1)
        bends = torch.cat([weight @ self.squares, weight @ ones], dim=-1).unflatten(1, theta.shape[1:3])
        bends[..., :-1] += ridge[..., :1]
        return bends.clamp_min(1e-6 * bends.amax((2, 3), keepdim=True))  # below that, rounding

    def divide(self, v: Tensor, bends: Tensor) -> Tensor:
        """Return v, shaped like theta [G, P, C, d + 1], divided by what `curvature` has returned."""
        weight = v[..., :-1].flatten(1, 2)
        weight = weight if self.basis is None else weight @ self.basis
        weight = weight / bends[..., :-1].flatten(1, 2)
        weight = weight if self.basis is None else weight @ self.basis.mT
        return torch.cat([weight.unflatten(1, v.shape[1:3]), v[..., -1:] / bends[..., -1:]], dim=-1)


def _logits(theta: Tensor, x: Tensor) -> Tensor:
    """Return [G, n, P, C] of theta [G, P, C, d + 1] and features [G, n, d]."""
    return (x @ theta[..., :-1].flatten(1, 2).mT).unflatten(2, theta.shape[1:3]) + theta[..., -1].unsqueeze(1)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Return the inner product of each problem, [G, P, 1, 1], of tensors [G, P, C, d + 1]."""
    return (a * b).sum((2, 3), keepdim=True)


def _minimise(
    objective: Callable[[Tensor, Tensor], Pair],
    curvature: Callable[[Tensor, Tensor], Tensor],
    divide: Callable[[Tensor, Tensor], Tensor],
    theta: Tensor,
    max_iter: int,
    tol: float,
) -> Tensor:
    """L-BFGS (Nocedal and Wright 2006, algorithm 7.5) with backtracking, on independent convex problems in lock-step.

    If a trial point is refused, its problem stays where it is and tries half the step next time; the others move on.
    ``objective`` and ``curvature`` get the columns [G, P', ...] of theta that are not solved yet, and their indices
    among the P. ``divide`` by ``curvature`` is the first guess of the inverse Hessian, up to a learned factor.
    """
    solution, kept = theta, torch.arange(theta.shape[1], device=theta.device)
    loss, grad = objective(theta, kept)
    loss = loss[..., None, None]
    bends, bent_at = curvature(theta, kept), loss
    history: list[tuple[Tensor, Tensor, Tensor]] = []  # s, y, 1 / (s y)
    step, gamma = torch.ones_like(loss), torch.ones_like(loss)
    slack = 10 * torch.finfo(theta.dtype).eps  # what rounding may add to the objective
    for _ in tracked(range(max_iter)):
        if (loss < bent_at / 2).any():
            bends, bent_at, gamma = curvature(theta, kept), loss, torch.ones_like(gamma)
        direction = _two_loop(grad, history, gamma, lambda v, bends=bends: divide(v, bends))
        slope = _dot(grad, direction)
        # A Newton step would gain half of -slope, as far as the curvature is known.
        solved = (grad.abs().amax((2, 3), keepdim=True) <= tol) & (-slope / 2 <= GAP * loss)
        active = ~solved & (step > 1e-6)
        going = active.any(0).flatten()
        if not going.all():
            solution = solution.index_copy(1, kept, theta)
            if not going.any():
                return solution
            places = going.nonzero().squeeze(1)
            state = (theta, grad, direction, loss, step, gamma, slope, active, bends, bent_at)
            state = [tensor.index_select(1, places) for tensor in state]
            theta, grad, direction, loss, step, gamma, slope, active, bends, bent_at = state
            history = [tuple(tensor.index_select(1, places) for tensor in pair) for pair in history]
            kept = kept[places]
        trial = theta + step * direction
        trial_loss, trial_grad = objective(trial, kept)
        trial_loss = trial_loss[..., None, None]
        accepted = active & (trial_loss <= loss + 1e-4 * step * slope + slack * loss)
        s = torch.where(accepted, trial - theta, 0.0)
        change = torch.where(accepted, trial_grad - grad, 0.0)
        along = _dot(s, change)
        usable = along > 1e-10 * _dot(change, change)
        history = [*history, (s, change, torch.where(usable, 1 / along, 0.0))][-MEMORY:]  # 0 makes a pair do nothing
        gamma = torch.where(usable, along / _dot(change, divide(change, bends)), gamma)
        theta = torch.where(accepted, trial, theta)
        grad = torch.where(accepted, trial_grad, grad)
        loss = torch.where(accepted, trial_loss, loss)
        step = torch.where(accepted, 1.0, step / 2)
    return solution.index_copy(1, kept, theta)


def _two_loop(
    grad: Tensor, history: list[tuple[Tensor, Tensor, Tensor]], gamma: Tensor, initial: Callable[[Tensor], Tensor]
) -> Tensor:
    """Return minus the approximate inverse Hessian times the gradient (algorithm 7.4)."""
    q = grad.clone()
    alphas = []
    for s, y, rho in reversed(history):
        alphas.append(rho * _dot(s, q))
        q -= alphas[-1] * y
    q = gamma * initial(q)
    for (s, y, rho), alpha in zip(history, reversed(alphas), strict=True):
        q += (alpha - rho * _dot(y, q)) * s
    return -q
