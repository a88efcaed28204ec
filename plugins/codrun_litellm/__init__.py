"""Language models that litellm reaches, as generators of counterfactuals and as teachers."""
