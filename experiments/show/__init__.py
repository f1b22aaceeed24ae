"""What a notebook shows and saves: tables, figures, statistics, verdicts."""
