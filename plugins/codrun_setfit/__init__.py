"""SetFit (Tunstall et al., 2022, arXiv 2209.11055) as a student that trains itself, for comparison."""
