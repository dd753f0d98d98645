"""Names of the contract's files and columns: the one place that spells them."""

from __future__ import annotations

SPEC_FILE = "dataset.yaml"
LISTINGS_FILE = "listings.parquet"
IMAGES_FILE = "images.parquet"
SEARCH_LOG_FILE = "search_log.parquet"
LABELS_FILE = "labels.parquet"

LISTING_ID = "listing_id"
SHOP_ID = "shop_id"
TITLE = "title"
TAGS = "tags"

IMAGE_ID = "image_id"
PATH = "path"
WIDTH = "width"
HEIGHT = "height"
DOMAIN = "domain"

SESSION_ID = "session_id"
QUERY = "query"
SHOWN_AT = "shown_at"
POSITION = "position"
CLICKED = "clicked"
DWELL_S = "dwell_s"
CARTED = "carted"
PURCHASED = "purchased"
FAIR_PAIR = "fair_pair"

SOURCE = "source"
TASK = "task"
LABEL = "label"
ROLE = "role"
ROLES = ("train", "query", "corpus")
BOX = ("x0", "y0", "x1", "y1")
