"""What a run may be told: the schema, its checks, the composition and what makes two compositions differ. No torch."""
