"""Dashboards that Lightning's loggers are all of: TensorBoard, CSV, MLflow."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

from dsrna.errors import MissingPartError
from dsrna.training.dashboards.base import About, Dashboard, OpenDashboard

IDENTITY = "dsrna_run"
"""Tag of an MLflow run."""


class TensorBoard(Dashboard):
    """Event files in ``tensorboard/`` of the run folder."""

    def open(self, about: About) -> OpenDashboard:
        """See :meth:`Dashboard.open`."""
        _needs("tensorboard", "TensorBoard", "tensorboard")
        from pytorch_lightning.loggers import TensorBoardLogger

        return OpenDashboard(TensorBoardLogger(save_dir=str(about.folder), name="tensorboard", version=""))


class Csv(Dashboard):
    """``csv/metrics.csv`` in the run folder, one line a step; the same numbers are in its ``metrics.jsonl``."""

    def open(self, about: About) -> OpenDashboard:
        """See :meth:`Dashboard.open`."""
        from pytorch_lightning.loggers import CSVLogger

        return OpenDashboard(CSVLogger(save_dir=str(about.folder), name="csv", version=""))


@dataclass(frozen=True)
class MLflow(Dashboard):
    """A run of an MLflow experiment; needs ``pip install 'dsrna[mlflow]'``.

    Attributes:
        experiment: its name.
        tracking_uri: a server, or a store such as ``sqlite:///mlflow.db``; None for ``mlflow.db`` in the run folder.
        tags: names and texts.
    """

    experiment: str = "dsrna"
    tracking_uri: str | None = None
    tags: dict[str, str] | None = None

    def open(self, about: About) -> OpenDashboard:
        """See :meth:`Dashboard.open`."""
        _needs("mlflow", "MLflow", "mlflow")
        from pytorch_lightning.loggers import MLFlowLogger

        uri = self.tracking_uri or f"sqlite:///{(about.folder / 'mlflow.db').resolve()}"
        begun = self._begun(uri, about.identity)
        tags = {**(self.tags or {}), IDENTITY: about.identity}
        logger = MLFlowLogger(self.experiment, run_name=about.name, tracking_uri=uri, tags=tags, run_id=begun)
        if begun is None:
            logger.log_hyperparams(dict(about.config))
        return OpenDashboard(logger)

    def _begun(self, uri: str, identity: str) -> str | None:
        """MLflow's id of the run that this one continues."""
        from mlflow import MlflowClient

        client = MlflowClient(uri)
        experiment = client.get_experiment_by_name(self.experiment)
        found = client.search_runs([experiment.experiment_id], f"tags.{IDENTITY} = '{identity}'") if experiment else []
        return found[0].info.run_id if found else None


def _needs(module: str, name: str, extra: str) -> None:
    if find_spec(module) is None:
        raise MissingPartError(f"logger={extra} needs {name}: pip install 'dsrna[{extra}]'. (conf: logger.{extra})")
