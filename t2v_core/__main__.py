"""``python -m t2v_core``."""

from t2v_core.cli import main

raise SystemExit(main())
