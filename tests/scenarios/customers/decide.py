"""Plays the support team: fills the decisions into an exported file of reviews, as a spreadsheet would save it.

decide.py FILE ID=TENANT … ID=dismiss …   ID is the customer's
"""
import csv
import json
import sys


def main():
    with open(sys.argv[1], newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    decisions = dict(argument.split("=") for argument in sys.argv[2:])
    out = csv.DictWriter(sys.stdout, rows[0].keys())
    out.writeheader()
    for row in rows:
        decided = decisions.get(str(json.loads(row["row_key"])["id"]))
        if decided == "dismiss":
            row.update(decision="dismiss", note="asked the customer: a test account")
        elif decided:
            row.update(decision="resolve", tenant=decided, note="asked the customer")
        out.writerow(row)


if __name__ == "__main__":
    main()
