"""Writes the shipped data sets from an installed scikit-learn: python3 extract.py

Numbers are rounded to float32 and written as the shortest decimals that read
back as the same float32; equal input gives equal files.
"""
import gzip
import io

import numpy as np
from sklearn import datasets

SETS = {
    "digits": datasets.load_digits,
    "iris": datasets.load_iris,
    "wine": datasets.load_wine,
    "breast-cancer": datasets.load_breast_cancer,
    "diabetes": datasets.load_diabetes,
}


def decimal(value):
    text = repr(float(str(value)))
    return text[:-2] if text.endswith(".0") else text


def main():
    for name, load in SETS.items():
        bunch = load()
        x = bunch.data.astype(np.float32)
        out = io.StringIO()
        out.write(",".join([*bunch.feature_names, "target"]) + "\n")
        for row, target in zip(x, bunch.target):
            out.write(",".join([*map(decimal, row), str(int(target))]) + "\n")
        with open(name + ".csv.gz", "wb") as file:
            with gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
                packed.write(out.getvalue().encode())


if __name__ == "__main__":
    main()
