"""``filial mix fit``: which weights? Short trainings on different mixtures (pilots), and a law of their losses."""
