"""``filial mix fit``: which weights? Short trainings on different mixtures (pilots), a law of their losses, its best."""
