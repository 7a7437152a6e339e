"""Databases of different houses, none of which declares a key, and what a person who knows them would say they are.

Each shows a convention that real databases have: natural keys, roles for names, years for times, keys of several
columns, numbers that are dates, or no keys at all. What is inferred of them is held against :class:`House`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import duckdb


@dataclass(frozen=True)
class House:
    """One database: the statements that make it, and its keys, references (``table.column->parent``) and times."""

    name: str
    statements: tuple[str, ...]
    primary: Mapping[str, str] = field(default_factory=dict)
    foreign: frozenset[str] = frozenset()
    times: Mapping[str, str] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)
    """Tables whose rows take the time of another's, and the foreign key to it."""

    def build(self, connection: Any) -> None:
        """Make the tables in an open DuckDB."""
        for statement in self.statements:
            connection.execute(statement)


def open_house(house: House) -> Any:
    """Open an in-memory DuckDB that holds a house."""
    connection = duckdb.connect()
    house.build(connection)
    return connection


_CODE = "chr(65 + (({0}) // 676 % 26)::INT) || chr(65 + (({0}) // 26 % 26)::INT) || chr(65 + (({0}) % 26)::INT)"
"""Three letters that tell a number."""

FLIGHTS = House(
    "flights",
    (
        "CREATE TABLE airlines AS SELECT chr(65 + (i * 7 % 26)::INT) || chr(65 + (i * 3 % 26)::INT) AS carrier, "
        "'Airline number ' || i AS name FROM range(16) t(i)",
        f"CREATE TABLE airports AS SELECT {_CODE.format('i * 12')} AS faa, 'Airport of place ' || i AS name, "
        "20 + i * 0.01 AS lat, -100 + i * 0.03 AS lon FROM range(1400) t(i)",
        f"CREATE TABLE planes AS SELECT 'N' || (10000 + i * 37) || {_CODE.format('i')} AS tailnum, "
        "1980 + i % 33 AS year_built, 'type ' || i % 9 AS model, 50 + i % 300 AS seats FROM range(900) t(i)",
        "CREATE TABLE flights AS SELECT 2013 AS year, 1 + i // 2500 AS month, 1 + i // 90 % 28 AS day, a.carrier, "
        f"CASE WHEN i % 7 = 0 THEN 'N' || i || 'ZZ' ELSE 'N' || (10000 + i % 900 * 37) || {_CODE.format('i % 900')} END "
        f"AS tailnum, {_CODE.format('(i % 3) * 12 * 40')} AS origin, {_CODE.format('(i * 17 % 97) * 12')} AS dest, "
        "(i * 13 % 120) - 20 AS dep_delay FROM range(30000) t(i) JOIN (SELECT row_number() OVER () - 1 AS r, carrier "
        "FROM airlines) a ON a.r = i % 16",
    ),
    {"airlines": "carrier", "airports": "faa", "planes": "tailnum"},
    frozenset({
        "flights.carrier->airlines", "flights.tailnum->planes", "flights.origin->airports", "flights.dest->airports",
    }),
    {"flights": "year, month, day (start of day)"},
)  # fmt: skip

BASEBALL = House(
    "baseball",
    (
        "CREATE TABLE people AS SELECT 'pl' || lpad(i::TEXT, 4, '0') AS playerID, 1900 + i % 95 AS birthYear, "
        "'Name ' || i % 400 AS nameLast, DATE '1920-04-01' + (i * 53 % 33000)::INT AS debut FROM range(800) t(i)",
        "CREATE TABLE teams AS SELECT 1920 + i // 12 AS yearID, CASE WHEN i % 12 < 6 THEN 'AL' ELSE 'NL' END AS lgID, "
        "'T' || chr(65 + (i % 12)::INT) || 'M' AS teamID, 40 + i * 7 % 70 AS W FROM range(1164) t(i)",
        "CREATE TABLE batting AS SELECT 'pl' || lpad((i // 2 % 800)::TEXT, 4, '0') AS playerID, 1920 + i // 1600 * 3 AS "
        "yearID, 1 + i % 2 AS stint, 'T' || chr(65 + (i % 12)::INT) || 'M' AS teamID, CASE WHEN i % 12 < 6 THEN 'AL' ELSE 'NL' END AS "
        "lgID, i * 31 % 600 AS AB, i * 7 % 50 AS HR FROM range(16000) t(i)",
        "CREATE TABLE salaries AS SELECT 1985 + i // 500 AS yearID, 'T' || chr(65 + (i % 12)::INT) || 'M' AS teamID, "
        "CASE WHEN i % 12 < 6 THEN 'AL' ELSE 'NL' END AS lgID, 'pl' || lpad((i * 3 % 800)::TEXT, 4, '0') AS playerID, "
        "60000 + i * 997 AS salary FROM range(15000) t(i)",
        "CREATE TABLE halloffame AS SELECT 'pl' || lpad((i * 7 % 400)::TEXT, 4, '0') AS playerID, 1960 + i // 12 AS yearID, "
        "i % 100 AS votes FROM range(600) t(i)",
    ),
    {"people": "playerID", "teams": "yearID, lgID, teamID", "batting": "playerID, yearID, stint"},
    frozenset({
        "batting.playerID->people", "salaries.playerID->people", "halloffame.playerID->people",
        "batting.yearID, lgID, teamID->teams", "salaries.yearID, lgID, teamID->teams",
    }),
    {
        "people": "debut", "teams": "yearID (end of year)", "batting": "yearID (end of year)",
        "salaries": "yearID (end of year)", "halloffame": "yearID (end of year)",
    },
)  # fmt: skip

OFFICE = House(
    "office",
    (
        "CREATE TABLE Customers AS SELECT chr(65 + (i % 26)::INT) || chr(65 + (i * 3 % 26)::INT) || 'X' || "
        "lpad(i::TEXT, 3, '0') AS CustomerID, 'Company ' || i AS CompanyName, 'City ' || i % 30 AS City FROM range(91) t(i)",
        "CREATE TABLE Employees AS SELECT i + 1 AS EmployeeID, 'Name ' || i AS LastName, CASE WHEN i > 0 THEN "
        "1 + i // 3 END AS ReportsTo, DATE '1992-01-01' + (i * 90)::INT AS HireDate FROM range(9) t(i)",
        "CREATE TABLE Suppliers AS SELECT i + 1 AS SupplierID, 'Supplier ' || i AS CompanyName FROM range(29) t(i)",
        "CREATE TABLE Categories AS SELECT i + 1 AS CategoryID, 'Category ' || i AS CategoryName FROM range(8) t(i)",
        "CREATE TABLE Products AS SELECT i + 1 AS ProductID, 'Product ' || i AS ProductName, 1 + i % 29 AS SupplierID, "
        "1 + i % 8 AS CategoryID, 5.0 + i AS UnitPrice FROM range(77) t(i)",
        "CREATE TABLE Shippers AS SELECT i + 1 AS ShipperID, 'Shipper ' || i AS CompanyName FROM range(3) t(i)",
        "CREATE TABLE Orders AS SELECT 10248 + i AS OrderID, c.CustomerID, 1 + i % 9 AS EmployeeID, "
        "DATE '1996-07-04' + (i // 2)::INT AS OrderDate, DATE '1996-08-01' + (i // 2)::INT AS RequiredDate, "
        "1 + i % 3 AS ShipVia, i * 1.7 % 90 AS Freight FROM range(830) t(i) JOIN (SELECT row_number() OVER () - 1 AS r, "
        "CustomerID FROM Customers) c ON c.r = i * 7 % 91",
        "CREATE TABLE \"Order Details\" AS SELECT 10248 + i // 3 AS OrderID, 1 + i * 11 % 77 AS ProductID, "
        "5.0 + i % 40 AS UnitPrice, 1 + i % 9 AS Quantity FROM range(2490) t(i)",
    ),
    {
        "Customers": "CustomerID", "Employees": "EmployeeID", "Suppliers": "SupplierID", "Categories": "CategoryID",
        "Products": "ProductID", "Shippers": "ShipperID", "Orders": "OrderID",
    },
    frozenset({
        "Employees.ReportsTo->Employees", "Products.SupplierID->Suppliers", "Products.CategoryID->Categories",
        "Orders.CustomerID->Customers", "Orders.EmployeeID->Employees", "Orders.ShipVia->Shippers",
        "Order Details.OrderID->Orders", "Order Details.ProductID->Products",
    }),
    {"Employees": "HireDate", "Orders": "OrderDate"},
    {"Order Details": "OrderID"},
)  # fmt: skip

SCHOOL = House(
    "school",
    (
        "CREATE TABLE departments AS SELECT chr(65 + (i % 26)::INT) || chr(66 + (i * 5 % 24)::INT) || 'D' AS dept, "
        "'Department ' || i AS title FROM range(14) t(i)",
        "CREATE TABLE courses AS SELECT d.dept || '-' || (100 + i) AS course, d.dept, 'Course on subject ' || i AS title, "
        "1 + i % 6 AS credits FROM range(160) t(i) JOIN (SELECT row_number() OVER () - 1 AS r, dept FROM departments) d "
        "ON d.r = i % 14",
        "CREATE TABLE students AS SELECT 'S' || (700000 + i * 13) AS matriculation, 'Student ' || i AS name, d.dept AS "
        "major, DATE '2015-09-01' + (i % 5 * 365)::INT AS enrolled_on FROM range(1200) t(i) JOIN (SELECT row_number() "
        "OVER () - 1 AS r, dept FROM departments) d ON d.r = i * 3 % 14",
        "CREATE TABLE exams AS SELECT 'S' || (700000 + i * 7 % 1200 * 13) AS student, c.course, 2016 + i // 2400 AS year, "
        "1 + i % 12 AS month, 1 + i * 3 % 5 AS grade FROM range(9600) t(i) JOIN (SELECT row_number() OVER () - 1 AS r, "
        "course FROM courses) c ON c.r = i * 11 % 160",
    ),
    {"departments": "dept", "courses": "course", "students": "matriculation"},
    frozenset({
        "courses.dept->departments", "students.major->departments", "exams.student->students", "exams.course->courses",
    }),
    {"students": "enrolled_on", "exams": "year, month (end of month)"},
)  # fmt: skip

HOSPITAL = House(
    "hospital",
    (
        "CREATE TABLE wards AS SELECT md5('w' || i)::UUID AS ward_uuid, 'Ward ' || i AS name FROM range(12) t(i)",
        "CREATE TABLE doctors AS SELECT md5('d' || i)::UUID AS doctor_uuid, 'Dr ' || i AS name, md5('w' || i % 12)::UUID "
        "AS ward FROM range(80) t(i)",
        "CREATE TABLE patients AS SELECT md5('p' || i)::UUID AS patient_uuid, 1930 + i % 80 AS birth_year, "
        "i % 2 = 0 AS insured FROM range(900) t(i)",
        "CREATE TABLE stays AS SELECT md5('s' || i)::UUID AS stay_uuid, md5('p' || i * 7 % 900)::UUID AS patient, "
        "md5('d' || i % 80)::UUID AS attending, md5('d' || i * 3 % 80)::UUID AS referred_by, TIMESTAMP '2022-01-01' + "
        "INTERVAL (i * 3) HOUR AS admitted_at, TIMESTAMP '2022-01-03' + INTERVAL (i * 3 + i % 200) HOUR AS discharged_at "
        "FROM range(3000) t(i)",
    ),
    {"wards": "ward_uuid", "doctors": "doctor_uuid", "patients": "patient_uuid", "stays": "stay_uuid"},
    frozenset({
        "doctors.ward->wards", "stays.patient->patients", "stays.attending->doctors", "stays.referred_by->doctors",
    }),
    {"stays": "admitted_at"},
)  # fmt: skip

LEDGER = House(
    "ledger",
    (
        "CREATE TABLE accounts AS SELECT 1000 + i AS account_no, 'Account ' || i AS label, 20100101 + i % 28 AS opened_ymd "
        "FROM range(300) t(i)",
        "CREATE TABLE bookings AS SELECT i AS booking_no, 1000 + i * 7 % 300 AS account_no, 20200000 + (1 + i // 1000) * 100 "
        "+ 1 + i % 28 AS booked_ymd, (i * 17 % 900) || ',' || lpad((i % 100)::TEXT, 2, '0') AS amount FROM range(9000) t(i)",
        "CREATE TABLE logins AS SELECT i AS login_id, 1000 + i * 3 % 300 AS account_no, 1600000000 + i * 3600 AS ts, "
        "CASE WHEN i % 3 = 0 THEN 'Y' ELSE 'N' END AS ok FROM range(5000) t(i)",
        "CREATE TABLE letters AS SELECT i AS letter_id, 1000 + i * 11 % 300 AS account_no, strftime(DATE '2021-01-01' + "
        "(i // 4)::INT, '%d.%m.%Y') AS sent_on, '4-' || (1 + i % 12) || '-' || (10 + i % 18) AS form FROM range(2000) t(i)",
    ),
    {"accounts": "account_no", "bookings": "booking_no", "logins": "login_id", "letters": "letter_id"},
    frozenset({
        "bookings.account_no->accounts", "logins.account_no->accounts", "letters.account_no->accounts",
    }),
    {"accounts": "opened_ymd", "bookings": "booked_ymd", "logins": "ts", "letters": "sent_on"},
)  # fmt: skip

SENSORS = House(
    "sensors",
    (
        "CREATE TABLE readings AS SELECT TIMESTAMP '2024-01-01' + INTERVAL (i) MINUTE AS read_at, 'dev-' || i % 40 AS device, "
        "i * 0.37 % 30 AS temperature, i % 100 AS humidity, i % 5 AS status FROM range(20000) t(i)",
        "CREATE TABLE alarms AS SELECT TIMESTAMP '2024-01-01' + INTERVAL (i * 40) MINUTE AS raised_at, 1 + i % 3 AS level, "
        "'text of alarm ' || i AS message FROM range(500) t(i)",
        "CREATE TABLE weather AS SELECT DATE '2024-01-01' + i::INT AS day, i * 7 % 30 AS degrees, i % 8 AS wind FROM "
        "range(90) t(i)",
    ),
    times={"readings": "read_at", "alarms": "raised_at", "weather": "day"},
)

HOUSES = (FLIGHTS, BASEBALL, OFFICE, SCHOOL, HOSPITAL, LEDGER, SENSORS)
