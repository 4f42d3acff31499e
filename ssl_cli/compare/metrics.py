"""What metrics are called, and how their values are shown."""

METRICS = {  # metric -> how it is shown
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "ece": "calibration error",
    "r2": "R²",
    "mae": "MAE",
    "rmse": "RMSE",
    "mae_of_mean": "MAE of the mean",
    "rmse_of_mean": "RMSE of the mean",
    "map": "mean average precision",
    "cluster_accuracy": "accuracy of clusters",
    "nmi": "NMI",
    "ari": "ARI",
    "auroc": "AUROC",
    "fpr_at_95_tpr": "FPR at 95% TPR",
}
CLASSIFIED = ("accuracy", "balanced_accuracy", "macro_f1", "ece")
PLAIN = ("r2", "mae", "rmse", "mae_of_mean", "rmse_of_mean")  # all others are shares, shown in percent
LOWER = ("mae", "rmse", "ece", "fpr_at_95_tpr")  # less is better


def scale_and_digits(metric: str) -> tuple[int, int]:
    """Return what a value of the metric is multiplied by to be shown, and its decimals."""
    return (1, 3) if metric in PLAIN else (100, 1)
