"""A dataset's name at Kaggle in, its zip archive out."""
