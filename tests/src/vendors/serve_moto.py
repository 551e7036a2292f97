"""moto's CloudFront on 127.0.0.1:PORT for one user who may invalidate, every call's signature checked.

Writes the user's key and the distribution's id to FILE when it is ready. Arguments: PORT FILE.
"""

import json
import os
import signal
import sys

import boto3
from moto import settings
from moto.cloudfront.models import Invalidation
from moto.iam.access_control import IAMRequestBase
from moto.server import ThreadedMotoServer

REQUEST = IAMRequestBase._create_aws_request


def as_it_was_signed(request):
    """moto takes the headers of a request without a body for its body, and finds no signature right."""
    if not request._body:
        request._data = {}
    return REQUEST(request)


def status(invalidation):
    """moto says COMPLETED at once; CloudFront InProgress first, and then Completed."""
    asked = invalidation.__dict__.setdefault("asked", 0)
    invalidation.asked += 1
    return "InProgress" if asked < 2 else "Completed"


def prepare(url):
    def client(name):
        return boto3.client(
            name,
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="nobody",
            aws_secret_access_key="nothing",
        )

    iam, cloudfront = client("iam"), client("cloudfront")
    iam.create_user(UserName="adapter")
    actions = ["cloudfront:CreateInvalidation", "cloudfront:GetInvalidation"]
    statement = {"Effect": "Allow", "Action": actions, "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName="adapter", PolicyName="invalidate", PolicyDocument=policy)
    key = iam.create_access_key(UserName="adapter")["AccessKey"]
    ports = {"HTTPPort": 80, "HTTPSPort": 443, "OriginProtocolPolicy": "http-only"}
    origin = {"Id": "origin", "DomainName": "origin.example", "CustomOriginConfig": ports}
    behaviour = {
        "TargetOriginId": "origin",
        "ViewerProtocolPolicy": "allow-all",
        "MinTTL": 0,
        "ForwardedValues": {"QueryString": True, "Cookies": {"Forward": "none"}},
    }
    distribution = cloudfront.create_distribution(
        DistributionConfig={
            "CallerReference": "shop",
            "Comment": "",
            "Enabled": True,
            "Origins": {"Quantity": 1, "Items": [origin]},
            "DefaultCacheBehavior": behaviour,
        }
    )
    return {
        "access_key": key["AccessKeyId"],
        "secret_key": key["SecretAccessKey"],
        "distribution": distribution["Distribution"]["Id"],
    }


def main():
    port, file = int(sys.argv[1]), sys.argv[2]
    IAMRequestBase._create_aws_request = as_it_was_signed
    Invalidation.status = property(status, lambda invalidation, value: None)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port)
    server.start()
    prepared = prepare(f"http://127.0.0.1:{port}")
    # From now on nobody is let in without a signature.
    settings.INITIAL_NO_AUTH_ACTION_COUNT = 0
    with open(file + ".new", "w", encoding="utf-8") as out:
        json.dump(prepared, out)
    os.rename(file + ".new", file)
    signal.pause()


main()
