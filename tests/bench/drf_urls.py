"""The view of the DRF baseline."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.urls import path
from django.utils import timezone
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView


class BenchEvent(models.Model):
    id = models.BigAutoField(primary_key=True)
    organization_id = models.BigIntegerField(default=1)
    source = models.TextField(default="web")
    event_id = models.TextField()
    customer_id = models.TextField()
    name = models.TextField()
    ts = models.DateTimeField()
    received_at = models.DateTimeField(default=timezone.now)
    properties = models.JSONField(default=dict)

    class Meta:
        managed = False
        app_label = "integrations"
        db_table = "bench_event"


class EventSerializer(serializers.ModelSerializer[BenchEvent]):
    event = serializers.CharField(source="name", max_length=255)
    timestamp = serializers.DateTimeField(source="ts")
    event_id = serializers.CharField(max_length=255)
    customer_id = serializers.CharField(max_length=255)

    class Meta:
        model = BenchEvent
        fields = ["event_id", "event", "customer_id", "timestamp", "properties"]


class IngestView(APIView):
    authentication_classes: list[Any] = []
    permission_classes: list[Any] = []
    throttle_classes: list[Any] = []

    def post(self, request: Request) -> Response:
        body = request.data if isinstance(request.data, list) else [request.data]
        serializer = EventSerializer(data=body, many=True)
        serializer.is_valid(raise_exception=True)
        BenchEvent.objects.bulk_create(
            [BenchEvent(**row) for row in serializer.validated_data],
            ignore_conflicts=True,
        )
        return Response({"accepted": len(body)}, status=202)


urlpatterns = [path("api/v1/data/ingest/web", IngestView.as_view())]
