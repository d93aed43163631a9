"""A ROS 2 node: images in, ``vision_msgs`` out.

    python3 examples/ros2/node.py --ros-args -r image:=/camera/image_raw -p min_score:=0.3

Subscribes to ``image`` (sensor_msgs/Image) and publishes ``~/detections`` (vision_msgs/Detection2DArray)
and ``~/instances`` (sensor_msgs/Image, mono8, see ``messages.instance_image``). Needs rclpy and vision_msgs 4
of a ROS 2 from Humble on, sourced, and prm-edge in the same Python.
"""

from __future__ import annotations

import array

import messages
import rclpy
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rosidl_runtime_py import set_message_fields
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

from prm_runtime.errors import PrmError
from prm_runtime.segmenter import Segmenter


class SegmenterNode(Node):
    """Segments the newest image; those that come meanwhile are dropped by the queue of one."""

    def __init__(self) -> None:
        """Open the bundle and connect."""
        super().__init__("prm_edge")
        bundle = self.declare_parameter("bundle", "").value
        backend = self.declare_parameter("backend", "onnxruntime").value
        min_score = self.declare_parameter("min_score", 0.2).value
        self._segmenter = Segmenter.open(bundle or None, backend, min_score=min_score)
        self._detections = self.create_publisher(Detection2DArray, "~/detections", 1)
        self._instances = self.create_publisher(Image, "~/instances", 1)
        newest = qos_profile_sensor_data
        newest.depth = 1
        self.create_subscription(Image, "image", self._segment, newest)

    def _segment(self, image: Image) -> None:
        try:
            instances = self._segmenter(messages.to_rgb(image))
        except PrmError as error:
            self.get_logger().warning(str(error), throttle_duration_sec=5.0)
            return
        header = messages.header_fields(image.header)
        detections = Detection2DArray()
        set_message_fields(detections, messages.detections(instances, header))
        self._detections.publish(detections)
        if self._instances.get_subscription_count():
            fields = messages.instance_image(instances, header)
            picture = Image(data=array.array("B", fields.pop("data")))  # field by field would be slow
            set_message_fields(picture, fields)
            self._instances.publish(picture)

    def destroy_node(self) -> None:
        """Close the engine too."""
        self._segmenter.close()
        super().destroy_node()


def main() -> None:
    """Run until interrupted."""
    rclpy.init()
    node = SegmenterNode()
    try:
        rclpy.spin(node)
    except KeyboardInterrupt:
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
