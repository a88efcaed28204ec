"""The executor `futures`: cells run on any `concurrent.futures` executor: Dask's, Parsl's, MPI's."""
