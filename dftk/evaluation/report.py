def write(workdir):
    return {}
